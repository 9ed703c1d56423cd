//! Servers to be fed, and commands that must fail.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use steeple_api::server::entry::ListEntriesRequest;
use steeple_api::types;
use steeple_testkit::{Binaries, ExtraLines, Port, Scratch, Server, ServerSpec, probe, until, workload_entry};
use tokio::process::Command;

/// A refusal is a matter of milliseconds; a command that hangs is a finding.
const REFUSAL_MAX: Duration = Duration::from_secs(60);
pub const READY_AGAIN_MAX: Duration = Duration::from_secs(60);

pub struct Bench {
    pub scratch: Scratch,
    ports: Mutex<Vec<Port>>,
}

impl Bench {
    pub fn new() -> Self {
        Self { scratch: Scratch::new().expect("a temporary directory"), ports: Mutex::default() }
    }

    /// A port that nobody else takes before the test is over.
    pub fn port(&self) -> u16 {
        let port = Port::reserve().expect("a free port");
        let number = port.number();
        self.ports.lock().expect("no test panics with it").push(port);
        number
    }

    /// A single server that is ready.
    pub async fn server(&self, name: &str) -> Server {
        let mut server = self.launch(&spec(name));
        server.ready().await.expect("the server becomes ready");
        server
    }

    pub fn launch(&self, spec: &ServerSpec) -> Server {
        self.launch_with(spec, &ExtraLines::default())
    }

    pub fn launch_with(&self, spec: &ServerSpec, extra: &ExtraLines) -> Server {
        let binaries = Binaries { server: program(), agent: PathBuf::new() };
        Server::start_with(&binaries, self.scratch.path(), spec, extra).expect("the server starts")
    }

    /// The configuration of `server`, which is stopped or stands in the way.
    pub fn config_of(&self, server: &Server) -> PathBuf {
        self.scratch.join(server.name()).join("server.conf")
    }

    /// A configuration for a directory of its own, `lines` added to its `server` section.
    pub fn config(&self, name: &str, lines: &str) -> PathBuf {
        let dir = self.scratch.join(name);
        let port = self.port();
        std::fs::create_dir_all(&dir).expect("a directory");
        let text = format!(
            "server {{\n trust_domain = \"example.org\"\n bind_address = \"127.0.0.1\"\n bind_port = {port}\n \
             socket_path = \"{0}/api.sock\"\n data_dir = \"{0}/data\"\n{lines}\n}}\n\
             plugins {{\n DataStore \"sql\" {{ plugin_data {{}} }}\n \
             KeyManager \"memory\" {{ plugin_data {{}} }}\n}}\n",
            dir.display()
        );
        let path = dir.join("server.conf");
        std::fs::write(&path, text).expect("a configuration file");
        path
    }

    /// Runs the server with flags that it must refuse, and returns what it says.
    pub async fn refused(&self, config: &Path, flags: &[&str]) -> String {
        let mut command = Command::new(program());
        command.arg("run").arg("-config").arg(config).args(flags).current_dir(self.scratch.path()).kill_on_drop(true);
        let ended = tokio::time::timeout(REFUSAL_MAX, command.output()).await.expect("it ends by itself");
        let output = ended.expect("the program runs");
        let text = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(!text.contains("panicked"), "{text}");
        text
    }
}

pub fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_steeple-server").into()
}

pub fn spec(name: &str) -> ServerSpec {
    ServerSpec {
        name: name.to_owned(),
        trust_domain: "example.org".to_owned(),
        cluster: None,
        x509pop_root: None,
        jwt_issuer: None,
        log_level: "info".to_owned(),
        env: Vec::new(),
    }
}

pub async fn create(server: &Server, id: &str) {
    server.admin().create_entry(entry(id)).await.expect("an entry");
}

pub fn entry(id: &str) -> types::Entry {
    let parent = types::Spiffeid { trust_domain: "example.org".to_owned(), path: "/parent".to_owned() };
    let selector = types::Selector { r#type: "unix".to_owned(), value: format!("user:{id}") };
    workload_entry(id, &parent, &format!("/{id}"), vec![selector])
}

/// The ids of all entries, in order.
pub async fn entries(server: &Server) -> Vec<String> {
    let request = ListEntriesRequest { output_mask: Some(types::EntryMask::default()), ..Default::default() };
    let response = server.admin().entries().list_entries(request).await.expect("a list").into_inner();
    let mut ids: Vec<String> = response.entries.into_iter().map(|entry| entry.id).collect();
    ids.sort();
    ids
}

/// The server answers, writes, and holds exactly `ids` besides.
pub async fn assert_unharmed(server: &Server, ids: &[&str]) {
    assert_eq!(entries(server).await, ids);
    create(server, "zz-afterwards").await;
    assert_eq!(entries(server).await.len(), ids.len() + 1);
}

/// Starts a stopped server again and waits for it.
pub async fn relaunch(server: &mut Server) {
    server.launch().expect("the server starts");
    server.ready().await.expect("the server becomes ready");
}

/// Waits until the process has said `text`.
pub async fn until_said(server: &Server, text: &str) {
    let said = until(text, READY_AGAIN_MAX, async || {
        let tail = server.process().map(|process| process.tail()).unwrap_or_default();
        if tail.contains(text) { Ok(()) } else { Err(tail) }
    });
    said.await.expect("the server says so");
}

pub fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// A file for its owner only.
pub fn private(path: &Path, content: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, content).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// Waits until `/ready` says all of `parts`, and is not ready.
pub async fn until_probe_says(health: u16, parts: &[&str]) {
    until("the server says why it is not ready", READY_AGAIN_MAX, async || {
        let (status, text) = probe(health, "/ready").await.ok_or("nobody answers")?;
        let said = status != 200 && parts.iter().all(|part| text.contains(part));
        if said { Ok(()) } else { Err(text) }
    })
    .await
    .expect("it says so");
}

/// The section that makes `/live` and `/ready` answer on `port`.
pub fn health_on(port: u16) -> String {
    format!("health_checks {{ listener_enabled = true bind_address = \"127.0.0.1\" bind_port = \"{port}\" }}\n")
}

/// The section that serves metrics on `port`.
pub fn metrics_on(port: u16) -> String {
    format!("telemetry {{ Prometheus {{ host = \"127.0.0.1\" port = {port} }} }}\n")
}
