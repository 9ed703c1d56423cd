//! Metrics that are sent, and those that a signal puts into the log.

use std::time::Duration;

use steeple_testkit::{Server, until};
use tokio::net::UdpSocket;

use crate::site::{Site, binaries, create, run, spec};

const EVENT_MAX: Duration = Duration::from_secs(60);

/// Lines until one begins with each of `expected`.
async fn receives(receiver: &UdpSocket, expected: &[&str]) -> Vec<String> {
    let (mut lines, mut packet) = (Vec::new(), vec![0; 65_536]);
    let all = async {
        while !expected.iter().all(|part| lines.iter().any(|line: &String| line.starts_with(part))) {
            let length = receiver.recv(&mut packet).await.expect("a datagram");
            lines.extend(String::from_utf8_lossy(&packet[..length]).lines().map(str::to_owned));
        }
    };
    let in_time = tokio::time::timeout(EVENT_MAX, all).await;
    assert!(in_time.is_ok(), "{expected:?} are not all in {lines:#?}");
    lines
}

#[tokio::test]
async fn sinks_get_spires_keys_and_a_signal_shows_all_in_the_log() {
    let site = Site::new();
    let mut server = Server::start(&binaries(), site.scratch.path(), &spec("server")).expect("it starts");
    server.ready().await.expect("it becomes ready");
    server.stop().await.expect("it stops");
    let statsd = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let dogstatsd = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let config = site.config(&server);
    let text = std::fs::read_to_string(&config).expect("a file");
    let telemetry = format!(
        "telemetry {{ Statsd = [{{ address = {:?} }}] DogStatsd = [{{ address = {:?} }}] InMem {{}}\n\
         EnableTrustDomainLabel = true EnableHostnameLabel = false BlockedPrefixes = [\"spire_server.svid\"] }}\n",
        statsd.local_addr().expect("an address").to_string(),
        dogstatsd.local_addr().expect("an address").to_string(),
    );
    std::fs::write(&config, text + &telemetry).expect("a file");
    let validated = run(&["validate", "-config", &config]).await;
    assert!(validated.ok, "{}", validated.text);
    server.launch().expect("it starts");
    server.ready().await.expect("it becomes ready");
    create(&server, "web").await;

    let key = "spire_server.rpc.entry.v1.entry.batch_create_entry";
    let labels = "OK.example_org";
    let call = [&format!("{key}.{labels}:1.000000|c"), &format!("{key}.elapsed_time.{labels}:")];
    let moment = "spire_server.ca_cert_expiry_seconds.";
    let seen = receives(&statsd, &[call[0], call[1], moment, "steeple_raft_is_leader.example_org:1.000000|g"]).await;
    assert!(!seen.iter().any(|line| line.starts_with("spire_server.svid")), "{seen:#?}");
    let tags = "|#status:OK,trust_domain:example_org";
    receives(&dogstatsd, &[&format!("{key}:1|c{tags}"), "spire_server.uptime_in_ms:"]).await;

    let pid = server.process().expect("it runs").pid().to_string();
    let sent = std::process::Command::new("kill").args(["-USR1", &pid]).status().expect("kill runs");
    assert!(sent.success());
    let shown = until("the metrics in the log", EVENT_MAX, async || {
        let log = std::fs::read_to_string(server.log()).map_err(|error| error.to_string())?;
        if log.contains("spire_server_uptime_in_ms{trust_domain=") { Ok(()) } else { Err("not yet".to_owned()) }
    });
    shown.await.expect("they are there");
    server.stop().await.expect("it stops");
}
