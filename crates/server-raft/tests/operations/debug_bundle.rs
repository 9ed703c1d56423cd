//! One archive for a support case.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use steeple_testkit::{ExtraLines, Port, Server, ServerSpec, until};

use crate::site::{Site, binaries, create, refused, run, spec, text};

const SHOWN_MAX: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_bundle_has_everything_but_secrets() {
    let site = Site::new();
    let port = Port::reserve().expect("a free port");
    let log = site.scratch.join("server.log");
    let extra = ExtraLines {
        server: format!("log_file = \"{}\"", log.display()),
        top: format!("telemetry {{ Prometheus {{ host = \"127.0.0.1\" port = {} }} }}", port.number()),
        ..ExtraLines::default()
    };
    let spec = ServerSpec { log_level: "debug".to_owned(), ..spec("alone") };
    let mut server = Server::start_with(&binaries(), site.scratch.path(), &spec, &extra).expect("it starts");
    server.ready().await.expect("it is ready");
    create(&server, "an-entry").await;
    let token = server.admin().create_join_token(Duration::from_secs(600)).await.expect("a token");
    let (socket, config) = (server.admin_socket(), site.config(&server));
    let bundle = async |name: &str| {
        let path = site.scratch.join(name);
        // The socket is the configuration's.
        let args = ["debug", "bundle", "-config", &config, "-path", text(&path)];
        (run(&[&args[..], &["-output", "json"]].concat()).await, path)
    };
    let unpack = |path: &std::path::Path, into: &str| {
        let dir = site.scratch.join(into);
        std::fs::create_dir(&dir).expect("a directory");
        let tar = Command::new("tar").arg("-xzf").arg(path).arg("-C").arg(&dir).status().expect("tar runs");
        assert!(tar.success());
        move |name: &str| std::fs::read_to_string(dir.join(name)).expect(name)
    };

    // Metrics are served a moment after the admin socket.
    let served = until("metrics", SHOWN_MAX, async || tokio::net::TcpStream::connect(port.address()).await);
    served.await.expect("they are served");
    let (said, path) = bundle("one.tar.gz").await;
    assert!(said.ok && said.json["missing"] == serde_json::json!({}), "{}", said.text);
    assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let of = unpack(&path, "one");
    assert!(of("status.json").contains("\"failure_tolerance\": 0"), "{}", of("status.json"));
    assert!(of("members.json").contains("\"healthy\": true") && of("info.json").contains("entries_count"));
    assert!(of("authorities.json").contains("authority_id") && of("metrics.txt").contains("steeple_raft_term"));
    assert!(of("server.log").contains("Configured"), "{}", of("server.log"));
    let shown = of("server.conf");
    assert!(shown.contains("connection_string = \"(redacted)\"") && shown.contains("example.org"), "{shown}");
    for name in ["status.json", "members.json", "info.json", "authorities.json", "server.log", "metrics.txt"] {
        assert!(!of(name).contains(&token) && !of(name).contains("PRIVATE KEY"), "{name}");
    }
    let again = refused(&["debug", "bundle", "-socketPath", text(&socket), "-path", text(&path)]).await;
    assert!(again.contains("already exists"), "{again}");

    // Of a server that does not answer there is what lies around it.
    server.stop().await.expect("it stops");
    let (said, path) = bundle("two.tar.gz").await;
    assert!(said.ok, "{}", said.text);
    let of = unpack(&path, "two");
    assert!(of("about.json").contains("status.json") && of("server.log").contains("Server stopped gracefully"));
    refused(&["debug", "bundle", "-socketPath", text(&socket)]).await;
}
