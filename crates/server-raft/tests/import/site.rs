//! A server, a datastore, and the command between them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use steeple_testkit::{Binaries, Cluster, Scratch, Server, ServerSpec};
use tokio::process::Command;

/// What a stock server wrote; see `crates/import/tests/data`.
const DUMP: &str = include_str!("../../../import/tests/data/spire-1.15.sql");
const KEYS: &str = include_str!("../../../import/tests/data/keys.json");

pub struct Site {
    pub scratch: Scratch,
}

/// What the command said, and whether it was content.
pub struct Said {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Site {
    pub fn new() -> Self {
        Self { scratch: Scratch::new().expect("a temporary directory") }
    }

    pub async fn server(&self, trust_domain: &str) -> Server {
        let spec = ServerSpec { trust_domain: trust_domain.to_owned(), ..spec(trust_domain) };
        let mut server = Server::start(&ours(), self.scratch.path(), &spec).expect("it starts");
        server.ready().await.expect("it becomes ready");
        server
    }

    pub async fn cluster(&self, size: usize) -> Cluster {
        Cluster::start(&ours(), self.scratch.path(), size, &spec("")).await.expect("a cluster")
    }

    /// The dump as a database of its own, with `changes` made to it.
    pub fn datastore(&self, name: &str, changes: &str) -> PathBuf {
        let path = self.scratch.join(name);
        let database = rusqlite::Connection::open(&path).expect("a database");
        database.execute_batch(&format!("{DUMP}{changes}")).expect("the dump is SQL");
        path
    }

    /// The dump's keys, with `change` made to them.
    pub fn keys(&self, name: &str, change: impl Fn(&str) -> String) -> PathBuf {
        let path = self.scratch.join(name);
        std::fs::write(&path, change(KEYS)).expect("a file");
        path
    }
}

/// Runs `import` with an argument for each of `more`.
pub async fn import(server: &Server, datastore: &Path, more: &[&str]) -> Said {
    let from = format!("sqlite:{}", datastore.display());
    let mut command = Command::new(ours().server);
    command.arg("import").arg("-socketPath").arg(server.admin_socket()).args(["-from", &from]).args(more);
    let output = command.kill_on_drop(true).output().await.expect("the program runs");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(!stderr.contains("panicked"), "{stderr}");
    Said { ok: output.status.success(), stdout, stderr }
}

impl Said {
    /// The report of an import that went well.
    pub fn report(&self) -> Value {
        assert!(self.ok, "{}{}", self.stdout, self.stderr);
        self.json()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

/// One number of a report.
pub fn count(report: &Value, kind: &str, of: &str) -> u64 {
    report["counts"][kind][of].as_u64().unwrap_or_else(|| panic!("no {kind}.{of} in {report}"))
}

pub fn ours() -> Binaries {
    Binaries { server: env!("CARGO_BIN_EXE_steeple-server").into(), agent: PathBuf::new() }
}

fn spec(name: &str) -> ServerSpec {
    ServerSpec {
        name: name.to_owned(),
        trust_domain: "example.org".to_owned(),
        cluster: None,
        x509pop_root: None,
        jwt_issuer: None,
        log_level: "debug".to_owned(),
        env: Vec::new(),
    }
}
