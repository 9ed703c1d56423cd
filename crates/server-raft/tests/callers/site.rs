//! A server of its own for each test, and agents by hand.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use steeple_agent::identity::{AgentSvid, AttestFailure, KEY_IDS, attest};
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{AgentX509svidParams, PostStatusRequest, RenewAgentRequest};
use steeple_api::server::svid::MintX509svidRequest;
use steeple_api::status::denial_reason;
use steeple_api::types::permission_denied_details::Reason;
use steeple_ca::{SigningKey, csr, generate_pkcs8};
use steeple_core::plugin::AgentNodeAttestor;
use steeple_core::{Clock, KeyType, Secret, SystemClock, TrustDomain};
use steeple_plugins::join_token::JoinTokenAttestor;
use steeple_plugins::key_manager::MemoryKeys;
use steeple_plugins::x509pop::{X509PopAgent, X509PopFiles};
use steeple_testkit::{Admin, NodeCertificateAuthority, Port, Process, Scratch, until};
use steeple_transport::client::{ServerDialer, server_channel};
use steeple_transport::tls::{
    Identity, IdentitySink as _, IdentityStore, KeyExchange, ServerIdVerifier, TrustRoots, Usage, client_config,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

pub const READY_MAX: Duration = Duration::from_secs(60);
const TOKEN_TTL: Duration = Duration::from_secs(600);

/// A server that listens on localhost.
pub struct Site {
    pub admin: Admin,
    pub address: String,
    trust_domain: TrustDomain,
    nodes: NodeCertificateAuthority,
    _process: Process,
    pub scratch: Scratch,
    _ports: [Port; 2],
}

/// An attested agent with a connection of its own, which outlives the certificate that opened it.
pub struct Node {
    pub svid: AgentSvid,
    pub channel: Channel,
}

impl Site {
    /// All its agents come from one address, where one a second may attest.
    pub async fn start() -> Self {
        Self::with("ratelimit { attestation = false }").await
    }

    /// With `line` in the server's block.
    pub async fn with(line: &str) -> Self {
        Self::configured(Scratch::new().expect("a directory"), line, "").await
    }

    /// Whose callers have the rights that `policy` gives them.
    pub async fn with_policy(line: &str, policy: &str) -> Self {
        let scratch = Scratch::new().expect("a directory");
        let file = scratch.join("policy.hcl");
        std::fs::write(&file, policy).expect("a policy");
        let top = format!("authorization {{ policy_file = \"{}\" }}", file.display());
        Self::started(scratch, line, "", &top).await
    }

    /// That shows metrics at `port`.
    pub async fn measured(port: &Port) -> Self {
        let top = format!("telemetry {{ Prometheus {{ host = \"127.0.0.1\" port = {} }} }}", port.number());
        let line = "ratelimit { attestation = false }";
        Self::started(Scratch::new().expect("a directory"), line, "", &top).await
    }

    /// With `plugins` beside its own as well.
    pub async fn configured(scratch: Scratch, line: &str, plugins: &str) -> Self {
        Self::started(scratch, line, plugins, "").await
    }

    async fn started(scratch: Scratch, line: &str, plugins: &str, top: &str) -> Self {
        let ports = [(); 2].map(|()| Port::reserve().expect("a port"));
        let [api, peer] = &ports;
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root for nodes");
        let text = format!(
            "server {{\n trust_domain = \"example.org\"\n bind_address = \"127.0.0.1\"\n bind_port = {api}\n \
             socket_path = \"{dir}/api.sock\"\n data_dir = \"{dir}/data\"\n \
             log_format = \"json\" log_level = \"ERROR\" audit_log_enabled = true\n {line}\n}}\n\
             cluster {{\n peer_bind_port = {peer}\n peer_bind_address = \"127.0.0.1\"\n}}\n\
             plugins {{\n NodeAttestor \"join_token\" {{}}\n \
             NodeAttestor \"x509pop\" {{ plugin_data {{ ca_bundle_path = \"{root}\" }} }}\n{plugins}}}\n{top}\n",
            api = api.number(),
            peer = peer.number(),
            dir = scratch.path().display(),
            root = nodes.root_path().display(),
        );
        let config = scratch.join("server.conf");
        std::fs::write(&config, text).expect("a configuration");
        let mut command = Command::new(env!("CARGO_BIN_EXE_steeple-server"));
        command.arg("run").arg("-config").arg(&config);
        let process = Process::start("server", command, &scratch.join("log")).expect("the server starts");
        let admin = Admin::at(&scratch.join("api.sock"));
        until("the server is ready", READY_MAX, async || admin.info().await).await.expect("it becomes ready");
        let trust_domain = TrustDomain::from_name("example.org").expect("a name");
        let address = api.address();
        Self { admin, address, trust_domain, nodes, _process: process, scratch, _ports: ports }
    }

    pub async fn by_join_token(&self) -> Node {
        let token = self.admin.create_join_token(TOKEN_TTL).await.expect("a token");
        self.attested(Arc::new(JoinTokenAttestor::new(Some(Secret::new(token.into_bytes()))))).await
    }

    pub async fn by_certificate(&self, files: &X509PopFiles) -> Node {
        self.attested(Arc::new(X509PopAgent::new(files.clone()))).await
    }

    pub fn certificate(&self) -> X509PopFiles {
        let issued = self.nodes.issue(self.scratch.path(), "node").expect("a certificate");
        let (private_key_path, certificate_path): (PathBuf, PathBuf) =
            (issued.private_key_path, issued.certificate_path);
        X509PopFiles { private_key_path, certificate_path, intermediates_path: None }
    }

    /// What the server says to an agent that nobody knows yet.
    pub async fn attest(&self, attestor: &Arc<dyn AgentNodeAttestor>) -> Result<AgentSvid, AttestFailure> {
        let anonymous = self.channel(None, &self.address).await;
        attest(anonymous, attestor, &MemoryKeys::default(), KEY_IDS[0], &self.trust_domain).await
    }

    async fn attested(&self, attestor: Arc<dyn AgentNodeAttestor>) -> Node {
        let svid = self.attest(&attestor).await.expect("it attests");
        let channel = self.channel(Some(&svid), &self.address).await;
        Node { svid, channel }
    }

    /// With an SVID that the server mints.
    pub async fn as_workload(&self, path: &str) -> Channel {
        let key = generate_pkcs8(KeyType::EcP256).expect("a key");
        let signing = SigningKey::from_pkcs8(&key).expect("a key");
        let id = self.trust_domain.member(path).expect("a path");
        let csr = csr::request(&signing, &id, &[]).expect("a CSR");
        let minted = self.admin.svids().mint_x509svid(MintX509svidRequest { csr, ttl: 3600 }).await.expect("an SVID");
        let identity = Identity { chain: minted.into_inner().svid.expect("an SVID").cert_chain, key: key.into() };
        self.channel_as(Some(&identity), &self.address).await
    }

    /// To the server at `address`, with or without a certificate.
    pub async fn channel(&self, svid: Option<&AgentSvid>, address: &str) -> Channel {
        let identity = svid.map(|svid| Identity { chain: svid.chain.clone(), key: svid.key.duplicate() });
        self.channel_as(identity.as_ref(), address).await
    }

    async fn channel_as(&self, identity: Option<&Identity>, address: &str) -> Channel {
        let roots = self.admin.bundle().await.expect("a bundle").x509_authorities;
        let ders: Vec<Vec<u8>> = roots.into_iter().map(|root| root.asn1).collect();
        let roots = TrustRoots::empty().with(self.trust_domain.clone(), &ders).expect("roots").into_shared();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let own = self.trust_domain.clone();
        let permits = Arc::new(move |id: &steeple_core::SpiffeId| id.is_member_of(&own));
        let store = IdentityStore::new(Arc::clone(&roots), permits, Usage::Client, Arc::clone(&clock));
        if let Some(identity) = identity {
            store.publish(identity).expect("an identity");
        }
        let verifier = ServerIdVerifier::new(roots, self.trust_domain.server_id());
        let tls = client_config(verifier, Some(store as _), KeyExchange::Compatible, clock).expect("a configuration");
        let authority = address.parse().expect("an authority");
        server_channel(ServerDialer::new([address.to_owned()], tls), authority).expect("a channel")
    }
}

impl Node {
    /// Any call that agents alone may make.
    pub async fn call(&self) -> Result<(), Status> {
        let request = PostStatusRequest { current_bundle_serial: 0, agent_version: String::new() };
        AgentClient::new(self.channel.clone()).post_status(request).await.map(|_| ())
    }

    pub async fn renew(&self) -> Status {
        let request = RenewAgentRequest { params: Some(AgentX509svidParams { csr: b"a CSR".to_vec() }) };
        AgentClient::new(self.channel.clone()).renew_agent(request).await.expect_err("not for this agent")
    }

    pub async fn assert_turned_away(&self, reason: Reason) {
        Self::assert_is_denial(&self.call().await.expect_err("turned away"), reason);
    }

    pub fn assert_is_denial(status: &Status, reason: Reason) {
        assert_eq!(status.message(), "authorization denied for method /spire.api.server.agent.v1.Agent/PostStatus");
        assert_eq!((status.code(), denial_reason(status)), (Code::PermissionDenied, Some(reason)));
    }
}
