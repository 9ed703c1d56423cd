//! A server for each test, and agents of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, Scratch, Server, ServerSpec, WorkloadStream, own_uid_selector, until,
    workload_entry,
};
use tonic::Request;

pub const EVENT_MAX: Duration = Duration::from_secs(60);
/// The agent drops a client that says nothing sensible after 10 s at the latest; this machine may be busy.
pub const DROPPED_MAX: Duration = Duration::from_secs(60);
const TOKEN_TTL: Duration = Duration::from_secs(600);

/// A server, and what an agent needs to attest there.
pub struct World {
    pub scratch: Scratch,
    binaries: Binaries,
    pub server: Server,
    pub bundle: PathBuf,
}

impl World {
    pub async fn new() -> Self {
        let scratch = Scratch::new().expect("a directory");
        let binaries = Binaries::find().expect("the programs");
        let spec = ServerSpec {
            name: "server".to_owned(),
            trust_domain: "example.org".to_owned(),
            cluster: None,
            x509pop_root: None,
            jwt_issuer: None,
            log_level: "info".to_owned(),
            env: Vec::new(),
        };
        let mut server = Server::start(&binaries, scratch.path(), &spec).expect("the server starts");
        server.ready().await.expect("the server becomes ready");
        let roots = server.admin().bundle().await.expect("a bundle").x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        let bundle = scratch.join("bundle.pem");
        std::fs::write(&bundle, pem::encode_many(&blocks)).expect("a file");
        Self { scratch, binaries, server, bundle }
    }

    pub fn agent(&self, name: &str, token: &str, trust_bundle: &Path) -> Agent {
        let spec = AgentSpec {
            name: name.to_owned(),
            trust_domain: "example.org".to_owned(),
            servers: vec![self.server.api_address()],
            trust_bundle: trust_bundle.to_owned(),
            attestation: Attestation::JoinToken(token.to_owned()),
            log_level: "info".to_owned(),
            lines: vec![format!("admin_socket_path = {:?}", self.admin_socket(name))],
        };
        Agent::start(&self.binaries, self.scratch.path(), &spec).expect("the agent starts")
    }

    pub fn admin_socket(&self, agent: &str) -> PathBuf {
        self.scratch.join(format!("{agent}-admin/admin.sock"))
    }

    /// Gives an identity to this user's processes on the only agent, and waits for its SVID.
    pub async fn serve_own_uid(&self, path: &str, agent: &Agent) -> WorkloadStream {
        let admin = self.server.admin();
        let parent = admin.agent_ids("join_token").await.expect("a list").remove(0);
        admin.create_entry(workload_entry("", &parent, path, vec![own_uid_selector()])).await.expect("an entry");
        let served = until("the workload is known", EVENT_MAX, async || {
            let mut stream = WorkloadStream::open(&agent.socket()).await?;
            stream.wait_for(&format!("spiffe://example.org{path}"), EVENT_MAX).await?;
            Ok::<_, anyhow::Error>(stream)
        });
        served.await.expect("an SVID")
    }

    pub async fn token(&self) -> String {
        self.server.admin().create_join_token(TOKEN_TTL).await.expect("a token")
    }
}

/// As the Workload API wants it.
pub fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", "true".parse().expect("ASCII"));
    request
}
