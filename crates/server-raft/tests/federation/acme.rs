//! Certificates of the web from an ACME server, on listeners that every replica has.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::pki_types::ServerName;
use steeple_ca::certificate::facts;
use steeple_core::SystemClock;
use steeple_testkit::{
    Binaries, Cluster, ClusterRole, ExtraLines, Pebble, Port, Process, Scratch, Server, ServerSpec, until,
};
use steeple_transport::client::get_over;
use steeple_transport::tls::danger::AnyServer;
use steeple_transport::tls::https_client_config;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::domain::{Endpoint, federation, server, spec};
use crate::web::scrape;

/// A renewal is due after two thirds of a certificate's life, and an order that failed is made again after 30 s.
const EVENT_MAX: Duration = Duration::from_secs(180);
const BUNDLE: &str = "bundle.one.test";
const OIDC: &str = "oidc.one.test";
const ASKED: &str = "an ACME server asks for the proof of a name";

fn acme(pebble: &Pebble, domain: &str, tos_accepted: bool) -> String {
    format!(
        "profile \"https_web\" {{ acme {{ domain_name = \"{domain}\" email = \"mail@one.test\" tos_accepted = \
         {tos_accepted} directory_url = \"{}\" }} }}",
        pebble.directory_url()
    )
}

/// The environment of a server that trusts Pebble's API.
fn trusting(pebble: &Pebble, dir: &Path) -> Vec<(String, String)> {
    vec![
        ("SSL_CERT_FILE".to_owned(), pebble.roots().display().to_string()),
        ("SSL_CERT_DIR".to_owned(), dir.join("none").display().to_string()),
    ]
}

/// The document at the path `/...` of whoever listens at `address`, and the serial of the certificate that it shows to
/// who asks for `domain`.
async fn get(address: &str, domain: &str, path: &str) -> anyhow::Result<(String, String)> {
    let tls = https_client_config(Arc::new(AnyServer), Arc::new(SystemClock))?;
    let name = ServerName::try_from(domain.to_owned())?;
    let stream = TlsConnector::from(tls).connect(name, TcpStream::connect(address).await?).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned());
    let serial = facts(&shown.context("a certificate")?).context("a certificate that can be read")?.serial;
    let reply = get_over(stream, &format!("https://{domain}{path}"), http::HeaderMap::new(), 1 << 20).await?;
    Ok((String::from_utf8(reply.body.to_vec())?, serial))
}

/// Waits until `address` shows a certificate for `domain` other than `known`; its serial.
async fn until_serves(address: &str, domain: &str, path: &str, known: &str) -> String {
    let served = until("another certificate", EVENT_MAX, async || {
        let (_, serial) = get(address, domain, path).await?;
        ensure!(serial != known, "still {known}");
        Ok::<_, anyhow::Error>(serial)
    });
    served.await.expect("it is shown")
}

fn log(server: &Server) -> String {
    std::fs::read_to_string(server.log()).expect("a log")
}

async fn until_says(server: &Server, text: &str) {
    let said = until(text, EVENT_MAX, async || {
        let log = log(server);
        if log.contains(text) { Ok(()) } else { Err(log.lines().last().unwrap_or_default().to_owned()) }
    });
    said.await.expect("it is said");
}

#[tokio::test]
async fn every_replica_shows_what_the_leader_ordered_and_a_follower_answers_the_challenge() {
    let Some(program) = Pebble::program() else { return };
    let scratch = Scratch::new().expect("a directory");
    let ours = Binaries::find().expect("our programs");
    let pebble = Pebble::start(program, scratch.path(), Duration::from_secs(45)).await.expect("Pebble");
    let mut cluster = Cluster { servers: Vec::new() };
    let mut endpoints = Vec::new();
    for name in ["one", "two", "three"] {
        let endpoint = Endpoint::reserve("one.test");
        if endpoints.is_empty() {
            pebble.relay().point_to(&endpoint.address());
        }
        let extra = ExtraLines {
            server: federation(&[endpoint.served(&acme(&pebble, BUNDLE, true))]),
            ..ExtraLines::default()
        };
        let join = cluster.servers.iter().map(Server::peer_address).collect();
        let role = ClusterRole { join, sealing_key_path: scratch.join("sealing-key") };
        let env = trusting(&pebble, scratch.path());
        let spec = ServerSpec { cluster: Some(role), env, ..spec(name, "one.test") };
        cluster.servers.push(server(&ours, &scratch, &spec, &extra).await);
        endpoints.push(endpoint);
    }
    cluster.all_vote().await.expect("three voters");
    for endpoint in &endpoints {
        let served = until("the bundle", EVENT_MAX, async || get(&endpoint.address(), BUNDLE, "/").await);
        let (document, _) = served.await.expect("it is served");
        assert!(document.contains("x509-svid"), "{document}");
        // Only the name that was named is served.
        get(&endpoint.address(), "other.one.test", "/").await.expect_err("another name");
        get(&endpoint.address(), "127.0.0.1", "/").await.expect_err("no name");
    }

    // From now on the ACME server finds a follower, which shows what the leader replicates.
    let (leader, follower) = (cluster.leader().await.expect("a leader"), cluster.follower().await.expect("a follower"));
    let asked = |server: usize| log(&cluster.servers[server]).matches(ASKED).count();
    let before = (asked(leader), asked(follower));
    pebble.relay().point_to(&endpoints[follower].address());
    let answered = until("an answer of the follower", EVENT_MAX, async || {
        if asked(follower) > before.1 { Ok(()) } else { Err("it was not asked") }
    });
    answered.await.expect("it is asked");
    let (_, known) = get(&endpoints[follower].address(), BUNDLE, "/").await.expect("it goes on meanwhile");
    let renewed = until_serves(&endpoints[follower].address(), BUNDLE, "/", &known).await;
    for endpoint in &endpoints {
        let same = until("the same certificate", EVENT_MAX, async || {
            let (_, serial) = get(&endpoint.address(), BUNDLE, "/").await?;
            // One more renewal may come in between.
            ensure!(serial != known, "still {known}, not {renewed}");
            Ok::<_, anyhow::Error>(())
        });
        same.await.expect("every replica shows it");
    }
    assert!(asked(leader) <= before.0 + 1, "one order may have been under way");

    // Another leader renews with the account that it finds in the log.
    cluster.servers[leader].kill9().await.expect("killed");
    let (_, known) = get(&endpoints[follower].address(), BUNDLE, "/").await.expect("it is served without a leader");
    until_serves(&endpoints[follower].address(), BUNDLE, "/", &known).await;
    let opened = cluster.servers.iter().map(|server| log(server).matches("ACME account opened").count());
    assert_eq!(opened.sum::<usize>(), 1);
}

#[tokio::test]
async fn without_the_acme_server_the_certificate_stays_and_the_log_and_metrics_tell() {
    let Some(program) = Pebble::program() else { return };
    let scratch = Scratch::new().expect("a directory");
    let ours = Binaries::find().expect("our programs");
    let mut pebble = Pebble::start(program, scratch.path(), Duration::from_secs(45)).await.expect("Pebble");
    let (listen, metrics) = (Port::reserve().expect("a port"), Port::reserve().expect("a port"));
    pebble.relay().point_to(&listen.address());
    // The other listener that can have certificates by ACME.
    let extra = ExtraLines {
        top: format!(
            "oidc {{ domains = [\"{OIDC}\"] acme {{ addr = \"{}\" email = \"mail@one.test\" tos_accepted = true \
             directory_url = \"{}\" }} }}\ntelemetry {{ Prometheus {{ port = {} }} }}",
            listen.address(),
            pebble.directory_url(),
            metrics.number()
        ),
        ..ExtraLines::default()
    };
    let spec = ServerSpec { env: trusting(&pebble, scratch.path()), ..spec("one", "one.test") };
    let mut server = server(&ours, &scratch, &spec, &extra).await;
    let first = until_serves(&listen.address(), OIDC, "/keys", "").await;
    pebble.kill9().await.expect("killed");
    until_says(&server, "No new certificate by ACME: the one that is held stays").await;
    let said = log(&server);
    let held = said.lines().rfind(|line| line.contains("the one that is held stays"));
    assert!(held.is_some_and(|line| line.contains("retry_in_s=")), "{held:?}");
    get(&listen.address(), OIDC, "/keys").await.expect("it is served all the same");
    let shown = scrape(&metrics.address()).await;
    for (series, labels) in [
        ("steeple_acme_orders_total{", "domain=\"oidc_one_test\",status=\"Error\"} "),
        ("steeple_acme_orders_total{", "domain=\"oidc_one_test\",status=\"OK\"} 1"),
        ("steeple_web_certificate_expiry_seconds{", "domain=\"oidc_one_test\"} "),
    ] {
        let found = shown.lines().any(|line| line.starts_with(series) && line.contains(labels));
        assert!(found, "{series}{labels} is not in: {shown}");
    }

    // It comes back, and knows nobody: another account is opened.
    pebble.launch().await.expect("Pebble again");
    until_serves(&listen.address(), OIDC, "/keys", &first).await;
    let said = log(&server);
    assert!(said.contains("does not know our account any more"), "{said}");
    server.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn terms_that_are_not_accepted_and_a_name_that_is_refused_are_told() {
    let Some(program) = Pebble::program() else { return };
    let scratch = Scratch::new().expect("a directory");
    let ours = Binaries::find().expect("our programs");
    let pebble = Pebble::start(program, scratch.path(), Duration::from_secs(3_600)).await.expect("Pebble");
    for (name, domain, tos_accepted, why) in [
        ("terms", BUNDLE, false, "cannot open an account at the ACME server: API error: "),
        ("blocked", "blocked.test", true, "cannot place an order: API error: "),
    ] {
        let endpoint = Endpoint::reserve("one.test");
        let profile = acme(&pebble, domain, tos_accepted);
        let extra = ExtraLines { server: federation(&[endpoint.served(&profile)]), ..ExtraLines::default() };
        let spec = ServerSpec { env: trusting(&pebble, scratch.path()), ..spec(name, "one.test") };
        let mut server = server(&ours, &scratch, &spec, &extra).await;
        until_says(&server, "No certificate by ACME: nothing is served yet").await;
        let said = log(&server);
        assert!(said.contains(why), "{said}");
        let warned = said.contains("ACME Terms of Service have not been accepted");
        assert_eq!(warned, !tos_accepted, "{said}");
        get(&endpoint.address(), domain, "/").await.expect_err("no certificate");
        server.stop().await.expect("an orderly end");
    }
}

#[tokio::test]
async fn a_discovery_provider_of_its_own_keeps_what_it_obtained_in_its_cache_directory() {
    let Some(program) = Pebble::program() else { return };
    let scratch = Scratch::new().expect("a directory");
    let ours = Binaries::find().expect("our programs");
    let mut pebble = Pebble::start(program, scratch.path(), Duration::from_secs(3_600)).await.expect("Pebble");
    let listen = Port::reserve().expect("a port");
    pebble.relay().point_to(&listen.address());
    let config = format!(
        "domains = [\"{OIDC}\"]\nacme {{ addr = \"{}\" email = \"mail@one.test\" tos_accepted = true directory_url = \
         \"{}\" cache_dir = \"cache\" }}\nfile {{ path = \"bundle.json\" }}\n",
        listen.address(),
        pebble.directory_url()
    );
    let path = scratch.join("provider.conf");
    std::fs::write(&path, config).expect("a file");
    std::fs::write(scratch.join("bundle.json"), "{\"keys\": []}").expect("a file");
    let env = trusting(&pebble, scratch.path());
    let start = || {
        let mut command = std::process::Command::new(&ours.server);
        command.args(["oidc-discovery-provider", "-config"]).arg(&path).current_dir(scratch.path()).envs(env.clone());
        Process::start("provider", command, &scratch.join("provider.log")).expect("it starts")
    };
    let mut process = start();
    let document = "/.well-known/openid-configuration";
    let serial = until_serves(&listen.address(), OIDC, document, "").await;
    process.terminate(EVENT_MAX).await.expect("an orderly end");
    drop(process);

    let mut process = start();
    pebble.kill9().await.expect("killed");
    let again = until("the cached certificate", EVENT_MAX, async || get(&listen.address(), OIDC, document).await);
    let (shown, again) = again.await.expect("it is served");
    assert_eq!(again, serial);
    assert!(shown.contains(&format!("https://{OIDC}")), "{shown}");
    process.terminate(EVENT_MAX).await.expect("an orderly end");
}
