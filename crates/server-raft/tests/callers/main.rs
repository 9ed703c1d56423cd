//! How callers are turned away, and how their calls go on record: real processes, real connections.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use steeple_agent::identity::{AgentSvid, KEY_IDS, attest};
use steeple_api::convert::id_to_wire;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{
    AgentX509svidParams, BanAgentRequest, DeleteAgentRequest, PostStatusRequest, RenewAgentRequest,
};
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{BatchCreateEntryRequest, ListEntriesRequest};
use steeple_api::status::denial_reason;
use steeple_api::types;
use steeple_api::types::permission_denied_details::Reason;
use steeple_core::plugin::AgentNodeAttestor;
use steeple_core::{Clock, Secret, SystemClock, TrustDomain};
use steeple_plugins::join_token::JoinTokenAttestor;
use steeple_plugins::key_manager::MemoryKeys;
use steeple_plugins::x509pop::{X509PopAgent, X509PopFiles};
use steeple_testkit::{Admin, NodeCertificateAuthority, Port, Process, Scratch, until, workload_entry};
use steeple_transport::client::{ServerDialer, server_channel};
use steeple_transport::tls::{
    Identity, IdentitySink as _, IdentityStore, KeyExchange, ServerIdVerifier, TrustRoots, Usage, client_config,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Long enough for an attestation and a call, short enough to be waited for.
const AGENT_TTL_SECS: u64 = 8;
const READY_MAX: Duration = Duration::from_secs(30);
const TOKEN_TTL: Duration = Duration::from_secs(60);

struct Site {
    admin: Admin,
    address: String,
    trust_domain: TrustDomain,
    nodes: NodeCertificateAuthority,
    _process: Process,
    scratch: Scratch,
    _port: Port,
}

/// An attested agent with a connection of its own, which outlives the certificate that opened it.
struct Node {
    svid: AgentSvid,
    channel: Channel,
}

impl Site {
    async fn start() -> Self {
        let (scratch, port) = (Scratch::new().expect("a directory"), Port::reserve().expect("a port"));
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root for nodes");
        let text = format!(
            "server {{\n trust_domain = \"example.org\"\n bind_address = \"127.0.0.1\"\n bind_port = {port}\n \
             socket_path = \"{dir}/api.sock\"\n data_dir = \"{dir}/data\"\n agent_ttl = \"{AGENT_TTL_SECS}s\"\n \
             log_format = \"json\" log_level = \"ERROR\" audit_log_enabled = true\n}}\n\
             cluster {{\n peer_bind_port = {peer}\n peer_bind_address = \"127.0.0.1\"\n}}\n\
             plugins {{\n NodeAttestor \"join_token\" {{}}\n \
             NodeAttestor \"x509pop\" {{ plugin_data {{ ca_bundle_path = \"{root}\" }} }}\n}}\n",
            port = port.number(),
            peer = Port::reserve().expect("a port").number(),
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
        Self { admin, address: port.address(), trust_domain, nodes, _process: process, scratch, _port: port }
    }

    async fn by_join_token(&self) -> Node {
        let token = self.admin.create_join_token(TOKEN_TTL).await.expect("a token");
        self.attested(Arc::new(JoinTokenAttestor::new(Some(Secret::new(token.into_bytes()))))).await
    }

    async fn by_certificate(&self, files: &X509PopFiles) -> Node {
        self.attested(Arc::new(X509PopAgent::new(files.clone()))).await
    }

    fn certificate(&self) -> X509PopFiles {
        let issued = self.nodes.issue(self.scratch.path(), "node").expect("a certificate");
        let (private_key_path, certificate_path): (PathBuf, PathBuf) =
            (issued.private_key_path, issued.certificate_path);
        X509PopFiles { private_key_path, certificate_path, intermediates_path: None }
    }

    async fn attested(&self, attestor: Arc<dyn AgentNodeAttestor>) -> Node {
        let keys = MemoryKeys::default();
        let anonymous = self.channel(None).await;
        let attested = attest(anonymous, &attestor, &keys, KEY_IDS[0], &self.trust_domain).await;
        let svid = attested.expect("it attests");
        let channel = self.channel(Some(&svid)).await;
        Node { svid, channel }
    }

    async fn channel(&self, svid: Option<&AgentSvid>) -> Channel {
        let roots = self.admin.bundle().await.expect("a bundle").x509_authorities;
        let ders: Vec<Vec<u8>> = roots.into_iter().map(|root| root.asn1).collect();
        let roots = TrustRoots::empty().with(self.trust_domain.clone(), &ders).expect("roots").into_shared();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let own = self.trust_domain.clone();
        let permits = Arc::new(move |id: &steeple_core::SpiffeId| id.is_member_of(&own));
        let store = IdentityStore::new(Arc::clone(&roots), permits, Usage::Client, Arc::clone(&clock));
        if let Some(svid) = svid {
            let identity = Identity { chain: svid.chain.clone(), key: svid.key.duplicate() };
            store.publish(&identity).expect("an identity");
        }
        let verifier = ServerIdVerifier::new(roots, self.trust_domain.server_id());
        let tls = client_config(verifier, Some(store as _), KeyExchange::Compatible, clock).expect("a configuration");
        let authority = self.address.parse().expect("an authority");
        server_channel(ServerDialer::new([self.address.clone()], tls), authority).expect("a channel")
    }
}

impl Node {
    /// Any call that agents alone may make.
    async fn call(&self) -> Result<(), Status> {
        let request = PostStatusRequest { current_bundle_serial: 0, agent_version: String::new() };
        AgentClient::new(self.channel.clone()).post_status(request).await.map(|_| ())
    }

    async fn renew(&self) -> Status {
        let request = RenewAgentRequest { params: Some(AgentX509svidParams { csr: b"a CSR".to_vec() }) };
        AgentClient::new(self.channel.clone()).renew_agent(request).await.expect_err("not for this agent")
    }

    async fn assert_turned_away(&self, reason: Reason) {
        let status = self.call().await.expect_err("turned away");
        assert_eq!(status.message(), "authorization denied for method /spire.api.server.agent.v1.Agent/PostStatus");
        assert_eq!((status.code(), denial_reason(&status)), (Code::PermissionDenied, Some(reason)));
    }
}

#[tokio::test]
async fn each_reason_reaches_the_agent() {
    let site = Site::start().await;
    let mut agents = site.admin.agents();
    let (banned, evicted) = (site.by_join_token().await, site.by_join_token().await);
    let (outlived, files) = (site.by_join_token().await, site.certificate());
    let replaced = site.by_certificate(&files).await;
    for node in [&banned, &evicted, &outlived, &replaced] {
        node.call().await.expect("an attested agent is let in");
    }

    let refused = replaced.renew().await;
    assert_eq!(refused.message(), "agent must reattest instead of renew");
    assert_eq!(denial_reason(&refused), Some(Reason::AgentMustReattest));

    let replacement = site.by_certificate(&files).await;
    assert_eq!(replacement.svid.id, replaced.svid.id);
    replacement.call().await.expect("the new SVID is let in");
    replaced.assert_turned_away(Reason::AgentNotActive).await;

    agents.ban_agent(BanAgentRequest { id: Some(id_to_wire(&banned.svid.id)) }).await.expect("banned");
    banned.assert_turned_away(Reason::AgentBanned).await;
    agents.delete_agent(DeleteAgentRequest { id: Some(id_to_wire(&evicted.svid.id)) }).await.expect("evicted");
    evicted.assert_turned_away(Reason::AgentNotAttested).await;

    let left = outlived.svid.not_after.since(SystemClock.now());
    tokio::time::sleep(left + Duration::from_secs(1)).await;
    outlived.assert_turned_away(Reason::AgentExpired).await;
}

/// The records of `method`, whose order is that of the calls.
fn records(log: &str, method: &str) -> Vec<Json> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    lines.filter(|record| record["type"] == "audit" && record["method"] == method).collect()
}

#[tokio::test]
async fn each_call_and_each_item_of_a_batch_is_on_record() {
    let site = Site::start().await;
    let node = site.by_join_token().await;
    node.call().await.expect("an attested agent is let in");
    let id = id_to_wire(&node.svid.id);
    let selector = || vec![types::Selector { r#type: "unix".to_owned(), value: "uid:1".to_owned() }];
    let entries = vec![workload_entry("one", &id, "/w", selector()), workload_entry("two", &id, "/w", selector())];
    let request = BatchCreateEntryRequest { entries, output_mask: None };
    site.admin.entries().batch_create_entry(request).await.expect("an answer");
    let list = EntryClient::new(node.channel.clone()).list_entries(ListEntriesRequest::default()).await;
    list.expect_err("not for agents");

    // A call is on record when its answer has passed, which may be a moment after the client has it.
    let log = || std::fs::read_to_string(site.scratch.join("log")).expect("a log");
    let denied = async || records(&log(), "ListEntries").pop().ok_or("no record of the last call");
    let denied = until("the last record", READY_MAX, denied).await.expect("a record");
    let log = log();

    let [attest] = records(&log, "AttestAgent").try_into().expect("one attestation");
    let known = ["service", "status", "authorized_as", "node_attestor_type", "agent_id"].map(|name| &attest[name]);
    assert_eq!(known, ["agent.v1.Agent", "success", "nobody", "join_token", node.svid.id.as_str()]);
    assert!(attest["caller_addr"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{attest}");
    assert_eq!(attest["msg"], "API accessed");

    let [status] = records(&log, "PostStatus").try_into().expect("one call");
    let known = ["caller_id", "authorized_as", "authorized_via"].map(|name| &status[name]);
    assert_eq!(known, [node.svid.id.as_str(), "agent", "datastore"]);

    let [created, similar] = records(&log, "BatchCreateEntry").try_into().expect("two items");
    let known = ["entry_id", "status", "spiffe_id", "selectors", "authorized_as", "authorized_via"];
    let expected = ["one", "success", "spiffe://example.org/w", "unix:uid:1", "local", "transport"];
    assert_eq!(known.map(|name| &created[name]), expected);
    assert_eq!(created["request_id"], similar["request_id"]);
    assert_eq!(["status", "status_code"].map(|name| &similar[name]), ["error", "AlreadyExists"]);
    assert_eq!(created["caller_uid"], nix::unistd::geteuid().as_raw());
    let own = std::env::current_exe().expect("a path");
    assert_eq!(created["caller_path"], own.display().to_string());

    assert_eq!(["status", "status_code"].map(|name| &denied[name]), ["error", "PermissionDenied"]);
    assert_eq!(denied["authorized_as"], Json::Null);
    let token = node.svid.id.path().rsplit('/').next().expect("a token");
    assert!(records(&log, "CreateJoinToken").iter().all(|record| !record.to_string().contains(token)));
}
