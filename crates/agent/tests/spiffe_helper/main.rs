//! spiffe-helper beside a real agent: what it writes, whom it tells, and a real nginx that its clients never lose.

mod nginx;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::ensure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use steeple_api::server::entry::{BatchUpdateEntryRequest, ListEntriesRequest};
use steeple_api::types;
use steeple_testkit::{Binaries, Fixture, FixtureEntry, Port, Process, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A start, an issue, a reload: all within this, also on a busy machine.
const EVENT_MAX: Duration = Duration::from_secs(90);
const STOP_MAX: Duration = Duration::from_secs(20);

/// A server, an agent with an entry for us, and a directory for files.
struct World {
    fixture: Fixture,
    certs: PathBuf,
}

impl World {
    async fn new() -> Self {
        let entry = FixtureEntry {
            path: "/web".to_owned(),
            dns_names: vec!["localhost".to_owned()],
            ..FixtureEntry::default()
        };
        let fixture = Fixture::start(&[entry]).await.expect("a server and an agent");
        let certs = fixture.scratch.join("certs");
        std::fs::create_dir(&certs).expect("a directory");
        Self { fixture, certs }
    }

    /// The configuration with these lines beside those that every one needs.
    fn config(&self, lines: &str) -> PathBuf {
        let path = self.fixture.scratch.join("helper.conf");
        let (socket, certs) = (self.fixture.agent.socket(), &self.certs);
        let text = format!(
            "agent_address = \"{}\"\ncert_dir = \"{}\"\nsvid_file_name = \"svid.pem\"\nsvid_key_file_name = \
             \"svid.key\"\nsvid_bundle_file_name = \"bundle.pem\"\n{lines}\n",
            socket.display(),
            certs.display()
        );
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// As the program that it takes the place of.
    fn command(&self, config: &Path) -> Command {
        let mut command = Command::new(Binaries::find().expect("the programs").agent);
        command.arg0("/usr/local/bin/spiffe-helper").arg("-config").arg(config);
        command
    }

    fn start(&self, lines: &str) -> Process {
        let command = self.command(&self.config(lines));
        Process::start("spiffe-helper", command, &self.fixture.scratch.join("helper.log")).expect("it starts")
    }

    fn once(&self, lines: &str) -> Output {
        self.command(&self.config(lines)).arg("-daemon-mode=false").output().expect("it runs")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.certs.join(name)).expect("a file")
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.certs.join(name)).expect("a file").permissions().mode() & 0o777
    }

    /// Another version of the entry, and so another SVID.
    async fn rotate(&self, x509_svid_ttl: i32) {
        let mut entries = self.fixture.server.admin().entries();
        let list = entries.list_entries(ListEntriesRequest::default()).await.expect("a list").into_inner();
        let entry = types::Entry { x509_svid_ttl, ..list.entries[0].clone() };
        let input_mask = Some(types::EntryMask { x509_svid_ttl: true, ..types::EntryMask::default() });
        let request = BatchUpdateEntryRequest { entries: vec![entry], input_mask, output_mask: None };
        let results = entries.batch_update_entry(request).await.expect("an answer").into_inner().results;
        assert_eq!(results[0].status.as_ref().map(|status| status.code), Some(0));
    }
}

async fn get(port: &Port, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(port.address()).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    Ok(reply)
}

#[tokio::test]
async fn every_file_once_with_its_mode() {
    let world = World::new().await;
    let output = world.once(
        r#"
        key_file_mode = 0400
        jwt_bundle_file_name = "keys.json"
        jwt_bundle_file_mode = 0644
        jwt_svids = [{ jwt_audience = "db", jwt_extra_audiences = ["cache"], jwt_svid_file_name = "db.token" }]
        "#,
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"", "standard output is the command's");
    assert!(world.read("svid.pem").starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(world.read("svid.key").starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let root = &world.fixture.bundle.x509_authorities[0].asn1;
    assert_eq!(pem::parse(world.read("bundle.pem")).expect("PEM").contents(), root);
    let keys: serde_json::Value = serde_json::from_str(&world.read("keys.json")).expect("JSON");
    let keys = STANDARD.decode(keys["example.org"].as_str().expect("our domain")).expect("base64");
    assert!(keys.starts_with(b"{\"keys\":[{"));
    let token = world.read("db.token");
    let validate = ["api", "validate", "jwt", "-audience", "cache", "-svid", &token];
    world.fixture.agent.cli(&validate).await.expect("both audiences are named");
    let modes = ["svid.pem", "svid.key", "bundle.pem", "keys.json", "db.token"].map(|name| world.mode(name));
    assert_eq!(modes, [0o644, 0o400, 0o644, 0o644, 0o600]);
    assert_eq!(std::fs::read_dir(&world.certs).expect("a directory").count(), 5, "nothing else is left behind");
    world.fixture.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn what_cannot_be_written_is_named_and_what_is_there_stays() {
    let world = World::new().await;
    assert!(world.once("").status.success());
    let before = world.read("svid.pem");
    for (lines, expected) in [
        ("cert_dir = \"/nonexistent\"", "cannot write /nonexistent/bundle.pem: No such file or directory"),
        ("hint = \"none\"", "failed to find the hinted x509 SVID"),
        ("agent_address = \"/nonexistent.sock\"", "code = Unavailable"),
        ("cert_dri = \"x\"", "\\\"cert_dri\\\" at 6:1 (did you mean \\\"cert_dir\\\"?)"),
    ] {
        let output = world.once(lines);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{lines}: {said}");
    }
    // Before anything else, and not when the first certificate is renewed.
    let output = world.command(&world.config("renew_signal = \"SIGNOTHING\"")).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("renew_signal \\\"SIGNOTHING\\\" is no signal"), "{said}");
    assert_eq!(world.read("svid.pem"), before);
    world.fixture.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn a_process_is_signalled_after_each_renewal() {
    let world = World::new().await;
    let scratch = &world.fixture.scratch;
    let (pid_file, heard) = (scratch.join("pid"), scratch.join("heard"));
    // It writes down which certificate was there when it was told.
    let script = format!(
        "trap 'sha256sum < {certs}/svid.pem >> {heard}' USR1; echo $$ > {pid}; while :; do sleep 0.1; done",
        certs = world.certs.display(),
        heard = heard.display(),
        pid = pid_file.display()
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    let mut told = Process::start("told", command, &scratch.join("told.log")).expect("it starts");
    // The shell makes the file before it writes into it.
    let written = async || {
        let text = std::fs::read_to_string(&pid_file)?;
        ensure!(text.ends_with('\n'), "{text:?}");
        Ok(())
    };
    until("its pid", EVENT_MAX, written).await.expect("a file");

    let port = Port::reserve().expect("a port");
    // A shell whose parent ignores SIGHUP, as under nohup, cannot trap it.
    let mut helper = world.start(&format!(
        "pid_file_name = \"{}\"\nrenew_signal = \"SIGUSR1\"\n\
         health_checks {{ listener_enabled = true bind_port = {} }}",
        pid_file.display(),
        port.number()
    ));
    let hears = async |count: usize| {
        let lines = until("a signal", EVENT_MAX, async || {
            let text = std::fs::read_to_string(&heard).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            ensure!(lines.len() >= count, "{count} are wanted: {text}");
            Ok(lines)
        });
        lines.await.expect("it is told")
    };
    hears(1).await;
    let ready = async || {
        let reply = get(&port, "/ready").await?;
        ensure!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
        anyhow::Ok(reply)
    };
    let reply = until("health", EVENT_MAX, ready).await.expect("it is ready");
    assert!(
        reply.ends_with(
            r#"{"status":"OK","health":{"file_write_statuses":{"x509_write_status":"written","jwt_write_status":{}}}}"#
        ),
        "{reply}"
    );

    world.rotate(1200).await;
    let lines = hears(2).await;
    assert_ne!(lines.first(), lines.last(), "the file was new when the signal came");
    // A directory that is gone is told, and does not end it.
    std::fs::rename(&world.certs, scratch.join("away")).expect("it is there");
    world.rotate(1800).await;
    let dead = async || {
        let reply = get(&port, "/live").await?;
        ensure!(reply.starts_with("HTTP/1.1 503 "), "{reply}");
        anyhow::Ok(())
    };
    until("the failure shows", EVENT_MAX, dead).await.expect("it says so");
    std::fs::rename(scratch.join("away"), &world.certs).expect("it is there");
    let count = lines.len();
    world.rotate(2400).await;
    hears(count + 1).await;

    assert!(helper.terminate(STOP_MAX).await.expect("it ends").success());
    told.kill9().await.expect("it ends");
    world.fixture.stop().await.expect("an orderly end");
}
