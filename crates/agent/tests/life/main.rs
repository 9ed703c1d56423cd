//! An agent's life beside real servers: restarts, servers that come and go, and servers that become strangers.

mod delegated_identity;
mod external_plugins;
mod persist;
mod plugin_data;

use std::collections::BTreeSet;
use std::time::Duration;

use steeple_api::server::agent::{BanAgentRequest, DeleteAgentRequest};
use steeple_api::types::Spiffeid;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{JwtsvidRequest, X509BundlesRequest};
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, Cluster, NodeCertificateAuthority, Scratch, Server, ServerSpec,
    WorkloadStream, own_uid_selector, until, workload_entry,
};
use steeple_transport::client::uds_channel;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::{Code, Request, Status};

const TRUST_DOMAIN: &str = "example.org";
const WORKLOAD: &str = "spiffe://example.org/w";
/// A sync every five seconds, an election, a retry: all within this, also on a busy machine.
const EVENT_MAX: Duration = Duration::from_secs(90);
const TOKEN_TTL: Duration = Duration::from_secs(600);
/// What an agent logs that did not end in time.
const LATE: &str = "some tasks did not end in time";

/// A server that knows nodes by their certificates.
struct World {
    scratch: Scratch,
    binaries: Binaries,
    server: Server,
    nodes: NodeCertificateAuthority,
}

impl World {
    async fn new() -> Self {
        let scratch = Scratch::new().expect("a directory");
        let binaries = Binaries::find().expect("the programs");
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root");
        let spec = ServerSpec {
            name: "server".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            cluster: None,
            x509pop_root: Some(nodes.root_path().to_owned()),
            jwt_issuer: None,
            log_level: "debug".to_owned(),
            env: Vec::new(),
        };
        let mut server = Server::start(&binaries, scratch.path(), &spec).expect("the server starts");
        server.ready().await.expect("the server becomes ready");
        Self { scratch, binaries, server, nodes }
    }

    /// The roots of the server as it is now, where its agents look for them.
    async fn write_bundle(&self) {
        let roots = self.server.admin().bundle().await.expect("a bundle").x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        std::fs::write(self.scratch.join("bundle.pem"), pem::encode_many(&blocks)).expect("a file");
    }

    fn start(&self, attestation: Attestation, lines: &[&str]) -> Agent {
        // Nobody is at the first address.
        self.start_at(vec!["127.0.0.1:1".to_owned(), self.server.api_address()], attestation, lines)
    }

    fn start_at(&self, servers: Vec<String>, attestation: Attestation, lines: &[&str]) -> Agent {
        let spec = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers,
            trust_bundle: self.scratch.join("bundle.pem"),
            attestation,
            log_level: "debug".to_owned(),
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        Agent::start(&self.binaries, self.scratch.path(), &spec).expect("the agent starts")
    }

    fn node(&self) -> Attestation {
        Attestation::X509Pop(self.nodes.issue(self.scratch.path(), "node-1").expect("a certificate"))
    }

    async fn agent(&self, attestation: Attestation, lines: &[&str]) -> Agent {
        self.write_bundle().await;
        let mut agent = self.start(attestation, lines);
        agent.ready().await.expect("the agent attests");
        agent
    }

    /// The one agent that there is.
    async fn agent_id(&self) -> Spiffeid {
        let found = async || {
            let admin = self.server.admin();
            let known = [admin.agent_ids("x509pop").await?, admin.agent_ids("join_token").await?].concat();
            known.into_iter().next().ok_or_else(|| Status::not_found("no agent yet"))
        };
        until("an agent", EVENT_MAX, found).await.expect("an agent")
    }

    async fn create_entry(&self) {
        self.create_entry_named(&self.agent_id().await, "/w").await;
    }

    async fn create_entry_named(&self, parent: &Spiffeid, path: &str) {
        let entry = workload_entry("", parent, path, vec![own_uid_selector()]);
        self.server.admin().create_entry(entry).await.expect("an entry");
    }

    async fn ban(&self, id: &Spiffeid) {
        let request = BanAgentRequest { id: Some(id.clone()) };
        self.server.admin().agents().ban_agent(request).await.expect("it is known");
    }

    /// The same name and address, another certificate authority that knows nobody.
    async fn become_a_stranger(&mut self) {
        self.server.stop().await.expect("an orderly end");
        std::fs::remove_dir_all(self.server.data_dir()).expect("it is there");
        self.server.launch().expect("the server starts");
        self.server.ready().await.expect("the server becomes ready");
    }
}

async fn identity(agent: &Agent) -> WorkloadStream {
    let served = until("an identity", EVENT_MAX, async || {
        let mut stream = WorkloadStream::open(&agent.socket()).await?;
        stream.wait_for(WORKLOAD, EVENT_MAX).await?;
        anyhow::Ok(stream)
    });
    served.await.expect("an SVID")
}

async fn says(agent: &Agent, part: &str) {
    let said = until(part, EVENT_MAX, async || {
        let log = agent.log().unwrap_or_default();
        if log.contains(part) { Ok(()) } else { Err(log) }
    });
    said.await.expect("the agent says so");
}

async fn ends(agent: &mut Agent, part: &str) {
    let status = tokio::time::timeout(EVENT_MAX, agent.process_mut().exited()).await.expect("it ends by itself");
    assert_eq!(status.expect("a status").code(), Some(1));
    says(agent, part).await;
}

fn stored(agent: &Agent) -> serde_json::Value {
    let text = std::fs::read(agent.data_dir().join("agent-data.json")).expect("a file");
    serde_json::from_slice(&text).expect("JSON")
}

async fn fetch_jwt(agent: &Agent, audience: &str) -> Result<String, Status> {
    let request = JwtsvidRequest { audience: vec![audience.to_owned()], spiffe_id: WORKLOAD.to_owned() };
    let mut client = SpiffeWorkloadApiClient::new(uds_channel(&agent.socket()));
    let answer = client.fetch_jwtsvid(with_header(request)).await?.into_inner();
    Ok(answer.svids.into_iter().next().expect("a token").svid)
}

fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", "true".parse().expect("ASCII"));
    request
}

#[tokio::test]
async fn an_agent_comes_back_with_its_svid_and_its_bundle() {
    let world = World::new().await;
    let token = world.server.admin().create_join_token(TOKEN_TTL).await.expect("a token");
    let mut agent = world.agent(Attestation::JoinToken(token), &[]).await;
    world.create_entry().await;
    identity(&agent).await;
    agent.stop().await.expect("it stops");

    // The token is spent, and what was trusted at first is not needed any more.
    std::fs::remove_file(world.scratch.join("bundle.pem")).expect("it is there");
    agent.restart(&world.binaries).expect("it starts");
    agent.ready().await.expect("it is ready without attesting");
    says(&agent, "SVID loaded").await;
    identity(&agent).await;
    agent.stop().await.expect("it stops");
}

/// Its join token is spent by then.
#[tokio::test]
async fn an_agent_that_attested_and_got_no_bundle_asks_again() {
    let mut world = World::new().await;
    world.write_bundle().await;
    let token = world.server.admin().create_join_token(TOKEN_TTL).await.expect("a token");
    let mut agent = world.start(Attestation::JoinToken(token), &[]);
    let attested = async || match std::fs::read_to_string(world.server.log()) {
        Ok(log) if log.contains("Agent attestation request completed") => Ok(()),
        _ => Err("not yet"),
    };
    until("the server has attested it", EVENT_MAX, attested).await.expect("it attests");
    world.server.kill9().await.expect("it ends");
    world.server.launch().expect("it starts");
    world.server.ready().await.expect("it becomes ready");
    agent.ready().await.expect("its token was not lost");
}

#[tokio::test]
async fn a_trust_bundle_that_comes_late_is_taken() {
    let world = World::new().await;
    let mut agent = world.start(world.node(), &[]);
    says(&agent, "could not parse trust bundle").await;
    world.write_bundle().await;
    agent.ready().await.expect("the next attempt");
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn an_evicted_agent_attests_again_and_a_banned_one_ends() {
    let world = World::new().await;
    let mut agent = world.agent(world.node(), &[]).await;
    world.create_entry().await;
    let mut stream = identity(&agent).await;
    let id = world.agent_id().await;
    let mut agents = world.server.admin().agents();

    agents.delete_agent(DeleteAgentRequest { id: Some(id.clone()) }).await.expect("it is known");
    says(&agent, "Agent needs to re-attest; starting node attestation").await;
    world.create_entry_named(&id, "/again").await;
    stream.wait_for("spiffe://example.org/again", EVENT_MAX).await.expect("the stream that was open goes on");

    world.ban(&id).await;
    ends(&mut agent, "Agent is banned: removing SVID and shutting down").await;
    says(&agent, "Synchronize failed").await;
    says(&agent, "failed to fetch authorized entries: rpc error: code = PermissionDenied").await;
    ends_as_unavailable(&mut stream).await;
    assert!(!agent.log().expect("a log").contains(LATE), "the stream holds nothing up");
    assert_eq!(stored(&agent)["svid"], serde_json::json!([]), "the SVID is gone");
    assert_ne!(stored(&agent)["bundle"], serde_json::json!([]));
}

#[tokio::test]
async fn a_strange_server_ends_an_agent_that_may_not_bootstrap_again() {
    let mut world = World::new().await;
    let mut agent = world.agent(world.node(), &[]).await;
    world.become_a_stranger().await;
    world.write_bundle().await;
    ends(&mut agent, "no root that this agent trusts signed the server's certificate").await;
    assert_ne!(stored(&agent)["svid"], serde_json::json!([]), "nothing is thrown away for a stranger");
}

#[tokio::test]
async fn a_strange_server_is_trusted_after_the_delay_where_that_is_configured() {
    let mut world = World::new().await;
    let lines = ["rebootstrap_mode = \"always\"", "rebootstrap_delay = \"3s\""];
    let mut agent = world.agent(world.node(), &lines).await;
    world.create_entry().await;
    let mut stream = identity(&agent).await;
    let before = stored(&agent)["bundle"].clone();

    world.become_a_stranger().await;
    world.write_bundle().await;
    says(&agent, "Trust Bundle and Server don't agree, ignoring for now").await;
    let kept = stored(&agent)["bundle"].clone();
    let rebootstraps = "Trust Bundle and Server don't agree, rebootstrapping";
    // On a busy machine the delay may be over before the file is read.
    if !agent.log().expect("a log").contains(rebootstraps) {
        assert_eq!(kept, before, "the old bundle stays until another has proved good");
    }
    says(&agent, rebootstraps).await;
    let id = world.agent_id().await;
    world.create_entry_named(&id, "/new-world").await;
    let update = stream.wait_for("spiffe://example.org/new-world", EVENT_MAX).await;
    let root = world.server.admin().bundle().await.expect("a bundle").x509_authorities.remove(0).asn1;
    let svids = update.expect("the stream that was open goes on").svids;
    assert!(svids.iter().any(|svid| svid.bundle == root), "under the new root");
    assert_ne!(stored(&agent)["bundle"], before);
    assert_eq!(stored(&agent)["bootstrap_start_time"], "0001-01-01T00:00:00Z");
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn rebootstrapping_needs_an_attestation_that_can_be_repeated() {
    let world = World::new().await;
    let token = world.server.admin().create_join_token(TOKEN_TTL).await.expect("a token");
    world.write_bundle().await;
    let mut agent = world.start(Attestation::JoinToken(token), &["rebootstrap_mode = \"always\""]);
    ends(&mut agent, "this node's attestation cannot be repeated").await;
}

#[tokio::test]
async fn a_hundred_workloads_that_want_one_token_ask_once() {
    let world = World::new().await;
    let mut agent = world.agent(world.node(), &[]).await;
    world.create_entry().await;
    identity(&agent).await;
    let callers = (0..100).map(|_| fetch_jwt(&agent, "api"));
    let tokens: BTreeSet<String> =
        futures::future::join_all(callers).await.into_iter().map(|token| token.expect("a token")).collect();
    assert_eq!(tokens.len(), 1, "two signings never give the same token");
    let log = agent.log().expect("a log");
    for parts in [["Fetched X.509 SVID", "FetchX509SVID", WORKLOAD], ["Fetched JWT SVID", "FetchJWTSVID", WORKLOAD]] {
        assert!(log.lines().any(|line| parts.iter().all(|part| line.contains(part))), "{parts:?}: {log}");
    }
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_token_is_waited_for_while_the_server_restarts() {
    let mut world = World::new().await;
    let mut agent = world.agent(world.node(), &[]).await;
    world.create_entry().await;
    identity(&agent).await;
    world.server.stop().await.expect("an orderly end");
    let comes_back = async {
        says(&agent, "No server issues JWT-SVIDs; retrying").await;
        world.server.launch()?;
        world.server.ready().await
    };
    let (token, back) = tokio::join!(fetch_jwt(&agent, "api"), comes_back);
    back.expect("the server starts again");
    token.expect("the call that began without a server");
    agent.stop().await.expect("it stops");
}

/// The server under another address, at which it can be made to hang: connections stay, and nothing passes.
struct Way {
    address: String,
    hang: watch::Sender<bool>,
}

/// `number` ways to `server`; what comes with them names the one that the last connection took.
async fn ways(server: &str, number: usize) -> (Vec<Way>, watch::Receiver<Option<usize>>) {
    let (taken, last_taken) = watch::channel(None);
    let mut ways = Vec::new();
    for position in 0..number {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (hang, hangs) = watch::channel(false);
        let (server, taken) = (server.to_owned(), taken.clone());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                taken.send_replace(Some(position));
                let mut far = TcpStream::connect(&server).await.expect("the server listens");
                let mut hangs = hangs.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        () = async { drop(hangs.wait_for(|hangs| *hangs).await) } => std::future::pending().await,
                    }
                });
            }
        });
        ways.push(Way { address, hang });
    }
    (ways, last_taken)
}

#[tokio::test]
async fn a_replica_that_falls_silent_is_left_within_the_call() {
    let world = World::new().await;
    world.write_bundle().await;
    let (ways, last_taken) = ways(&world.server.api_address(), 2).await;
    let addresses = ways.iter().map(|way| way.address.clone()).collect();
    let mut agent = world.start_at(addresses, world.node(), &[]);
    agent.ready().await.expect("the agent attests");
    world.create_entry().await;
    identity(&agent).await;

    let silent = last_taken.borrow().expect("the agent is connected");
    ways[silent].hang.send(true).expect("it is open");
    fetch_jwt(&agent, "api").await.expect("a token, in the one call");
    assert_eq!(*last_taken.borrow(), Some(1 - silent), "over the other way");
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn open_streams_end_as_unavailable_and_do_not_hold_up_the_end() {
    let world = World::new().await;
    let mut agent = world.agent(world.node(), &[]).await;
    world.create_entry().await;
    let mut streams = [identity(&agent).await, identity(&agent).await];
    agent.stop().await.expect("it stops");
    for stream in &mut streams {
        ends_as_unavailable(stream).await;
    }
    assert!(!agent.log().expect("a log").contains(LATE), "{:?}", agent.log());
}

/// Clients begin anew at once after this; after other ends some give up.
async fn ends_as_unavailable(stream: &mut WorkloadStream) {
    let end = loop {
        if let Err(end) = stream.next().await {
            break end;
        }
    };
    let status = end.downcast_ref::<Status>().expect("a status");
    let text = "the server is shutting down";
    assert_eq!((status.code(), status.message()), (Code::Unavailable, text));
}

#[tokio::test]
async fn calls_beyond_the_configured_rate_are_refused() {
    let world = World::new().await;
    let mut agent = world.agent(world.node(), &["experimental { ratelimit { fetch_x509_bundles = 2 } }"]).await;
    world.create_entry().await;
    identity(&agent).await;
    let client = SpiffeWorkloadApiClient::new(uds_channel(&agent.socket()));
    let calls = (0..100).map(|_| {
        let mut client = client.clone();
        async move { client.fetch_x509_bundles(with_header(X509BundlesRequest {})).await }
    });
    let refused: Vec<Status> = futures::future::join_all(calls).await.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty(), "a hundred at once are more than two a second");
    for status in refused {
        let text = "rate limit exceeded for /SpiffeWorkloadAPI/FetchX509Bundles";
        assert_eq!((status.code(), status.message()), (Code::Unavailable, text));
    }
    fetch_jwt(&agent, "api").await.expect("other calls have no limit");
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_call_goes_on_at_another_replica_when_the_leader_is_killed() {
    let scratch = Scratch::new().expect("a directory");
    let binaries = Binaries::find().expect("the programs");
    let template = ServerSpec {
        name: String::new(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        cluster: None,
        x509pop_root: None,
        jwt_issuer: None,
        log_level: "info".to_owned(),
        env: Vec::new(),
    };
    let mut cluster = Cluster::start(&binaries, scratch.path(), 3, &template).await.expect("a cluster");
    let admin = cluster.servers[0].admin();
    let token = admin.create_join_token(TOKEN_TTL).await.expect("a token");
    let parent = Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path: format!("/spire/agent/join_token/{token}") };
    admin.create_entry(workload_entry("w", &parent, "/w", vec![own_uid_selector()])).await.expect("an entry");
    let roots = admin.bundle().await.expect("a bundle").x509_authorities;
    let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
    std::fs::write(scratch.join("bundle.pem"), pem::encode_many(&blocks)).expect("a file");
    let spec = AgentSpec {
        name: "agent".to_owned(),
        trust_domain: TRUST_DOMAIN.to_owned(),
        servers: cluster.api_addresses(),
        trust_bundle: scratch.join("bundle.pem"),
        attestation: Attestation::JoinToken(token),
        log_level: "debug".to_owned(),
        lines: Vec::new(),
    };
    let mut agent = Agent::start(&binaries, scratch.path(), &spec).expect("the agent starts");
    agent.ready().await.expect("the agent attests");
    identity(&agent).await;

    let leader = cluster.leader().await.expect("a leader");
    cluster.servers[leader].kill9().await.expect("it dies");
    // Each is a call to the servers: nothing of it is cached.
    for number in 0..20 {
        fetch_jwt(&agent, &format!("audience-{number}")).await.expect("one call, whoever leads");
    }
    agent.stop().await.expect("it stops");
}

#[tokio::test]
async fn lines_of_a_call_carry_its_fields() {
    let world = World::new().await;
    let mut agent = world.agent(world.node(), &[]).await;
    let nobody = async {
        let mut stream = WorkloadStream::open(&agent.socket()).await?;
        stream.wait_for(WORKLOAD, EVENT_MAX).await
    };
    nobody.await.expect_err("there is no entry");
    let log = agent.log().expect("a log");
    let fields = |message: &str| {
        let line = log.lines().find(|line| line.contains(&format!("msg=\"{message}\"")));
        line.unwrap_or_else(|| panic!("no line {message:?} in {log}")).to_owned()
    };
    let refused = fields("No identity issued");
    let call = format!("method=FetchX509SVID pid={} registered=false", std::process::id());
    assert!(refused.contains(&call), "{refused}");
    assert!(refused.contains("service=WorkloadAPI subsystem_name=endpoints"), "{refused}");
    assert!(fields("Node attestation was successful").contains("subsystem_name=attestor"), "{log}");
    assert!(
        fields("Starting agent APIs").contains("apis=\"Workload and SDS APIs\" network=unix subsystem_name=endpoints"),
        "{log}"
    );
    agent.stop().await.expect("an orderly end");
}
