//! Servers, entries, and the server's own commands.

use std::path::{Path, PathBuf};

use serde_json::Value;
use steeple_api::server::entry::ListEntriesRequest;
use steeple_api::types;
use steeple_testkit::{Binaries, Cluster, ClusterRole, ExtraLines, Scratch, Server, ServerSpec, workload_entry};
use tokio::process::Command;

pub struct Site {
    pub scratch: Scratch,
}

/// What a command said.
pub struct Said {
    pub ok: bool,
    pub text: String,
    /// Standard output where it is JSON.
    pub json: Value,
}

impl Site {
    pub fn new() -> Self {
        Self { scratch: Scratch::new().expect("a temporary directory") }
    }

    pub async fn cluster(&self, size: usize) -> Cluster {
        Cluster::start(&binaries(), self.scratch.path(), size, &spec("")).await.expect("a cluster")
    }

    /// Joins the member at `peer`, or founds.
    pub async fn joins(&self, name: &str, peer: &Server) -> Server {
        let role = ClusterRole { join: vec![peer.peer_address()], sealing_key_path: self.sealing_key() };
        let spec = ServerSpec { cluster: Some(role), ..spec(name) };
        let mut server = Server::start(&binaries(), self.scratch.path(), &spec).expect("it starts");
        server.ready().await.expect("it becomes ready");
        server
    }

    /// Starts one more replica of `cluster`, or the first, with more in its configuration.
    pub async fn add(&self, cluster: &mut Cluster, extra: &ExtraLines) {
        let join = cluster.servers.iter().map(Server::peer_address).collect();
        let role = ClusterRole { join, sealing_key_path: self.sealing_key() };
        let spec = ServerSpec { cluster: Some(role), ..spec(&format!("server-{}", cluster.servers.len() + 1)) };
        let mut server = Server::start_with(&binaries(), self.scratch.path(), &spec, extra).expect("it starts");
        server.ready().await.expect("it becomes ready");
        cluster.servers.push(server);
    }

    /// As [`Cluster::start`] names it.
    pub fn sealing_key(&self) -> PathBuf {
        self.scratch.join("sealing-key")
    }

    pub fn config(&self, server: &Server) -> String {
        self.scratch.join(server.name()).join("server.conf").display().to_string()
    }

    pub async fn backup(&self, server: &Server, name: &str) -> PathBuf {
        let path = self.scratch.join(name);
        let socket = server.admin_socket().display().to_string();
        let said = run(&["backup", "create", "-socketPath", &socket, "-path", text(&path)]).await;
        assert!(said.ok, "{}", said.text);
        path
    }
}

/// Runs one command of the server.
pub async fn run(args: &[&str]) -> Said {
    let mut command = Command::new(program());
    command.args(args);
    said(command).await
}

pub async fn said(mut command: Command) -> Said {
    let output = command.kill_on_drop(true).output().await.expect("the program runs");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    let text = format!("{stdout}{stderr}");
    assert!(!text.contains("panicked"), "{text}");
    Said { ok: output.status.success(), json: serde_json::from_str(&stdout).unwrap_or_default(), text }
}

/// Runs a command that must fail, and returns what it says.
pub async fn refused(args: &[&str]) -> String {
    let said = run(args).await;
    assert!(!said.ok, "{}", said.text);
    said.text
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

pub async fn create(server: &Server, id: &str) {
    let parent = types::Spiffeid { trust_domain: "example.org".to_owned(), path: "/parent".to_owned() };
    let selector = types::Selector { r#type: "unix".to_owned(), value: format!("user:{id}") };
    let entry = workload_entry(id, &parent, &format!("/{id}"), vec![selector]);
    server.admin().create_entry(entry).await.expect("an entry");
}

/// The ids of all entries, in order.
pub async fn entries(server: &Server) -> Vec<String> {
    let request = ListEntriesRequest { output_mask: Some(types::EntryMask::default()), ..Default::default() };
    let response = server.admin().entries().list_entries(request).await.expect("a list").into_inner();
    let mut ids: Vec<String> = response.entries.into_iter().map(|entry| entry.id).collect();
    ids.sort();
    ids
}

pub fn binaries() -> Binaries {
    Binaries { server: program(), agent: PathBuf::new() }
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
