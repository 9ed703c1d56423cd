//! The push stream end to end: real servers, a real agent and a workload that never asks twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use steeple_api::server::agent::BanAgentRequest;
use steeple_api::server::entry::BatchDeleteEntryRequest;
use steeple_api::types::Spiffeid;
use steeple_testkit::{
    Agent, AgentSpec, Attestation, Binaries, Cluster, NodeCertificateAuthority, Scratch, ServerSpec, WorkloadStream,
    own_uid_selector, until, workload_entry,
};

const TRUST_DOMAIN: &str = "example.org";
/// An election and a reconnect, also on a busy machine.
const EVENT_MAX: Duration = Duration::from_secs(90);
/// The agent would poll after this: what arrives comes by push.
const POLL_INTERVAL: &str = "sync_interval = \"1h\"";
const ENTRIES: usize = 40;

struct World {
    scratch: Scratch,
    cluster: Cluster,
    agent: Agent,
    agent_id: Spiffeid,
}

impl World {
    /// The agent knows the replicas that `known` says.
    async fn new(replicas: usize, known: impl Fn(&Cluster, usize) -> Vec<String>) -> Self {
        let scratch = Scratch::new().expect("a directory");
        let binaries = Binaries::find().expect("the programs");
        let nodes = NodeCertificateAuthority::new(scratch.path()).expect("a root");
        let spec = ServerSpec {
            name: String::new(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            cluster: None,
            x509pop_root: Some(nodes.root_path().to_owned()),
            jwt_issuer: None,
            log_level: "debug".to_owned(),
            env: Vec::new(),
        };
        let cluster = Cluster::start(&binaries, scratch.path(), replicas, &spec).await.expect("a cluster");
        let leader = cluster.leader().await.expect("a leader");
        let admin = cluster.servers[leader].admin();
        let roots = admin.bundle().await.expect("a bundle").x509_authorities;
        let blocks: Vec<_> = roots.into_iter().map(|root| pem::Pem::new("CERTIFICATE", root.asn1)).collect();
        let trust_bundle = scratch.join("bundle.pem");
        std::fs::write(&trust_bundle, pem::encode_many(&blocks)).expect("a file");
        let agent = AgentSpec {
            name: "agent".to_owned(),
            trust_domain: TRUST_DOMAIN.to_owned(),
            servers: known(&cluster, leader),
            trust_bundle,
            attestation: Attestation::X509Pop(nodes.issue(scratch.path(), "node-1").expect("a certificate")),
            log_level: "debug".to_owned(),
            lines: vec![format!("experimental {{ {POLL_INTERVAL} }}")],
        };
        let mut agent = Agent::start(&binaries, scratch.path(), &agent).expect("it starts");
        agent.ready().await.expect("it is ready");
        let agent_id = admin.agent_ids("x509pop").await.expect("agents").remove(0);
        Self { scratch, cluster, agent, agent_id }
    }

    /// By any running replica.
    async fn create(&self, name: &str) {
        let entry = workload_entry(name, &self.agent_id, &format!("/{name}"), vec![own_uid_selector()]);
        let created = until("the entry is created", EVENT_MAX, async || {
            for server in self.cluster.servers.iter().filter(|server| server.process().is_some()) {
                if server.admin().create_entry(entry.clone()).await.is_ok() {
                    return Ok(());
                }
            }
            Err("no replica takes it")
        });
        created.await.expect("a leader");
    }

    /// A workload's stream that has this SVID. One that is opened before the agent knows the entry ends at once.
    async fn workload(&self, name: &str) -> WorkloadStream {
        let opened = until("the workload has an SVID", EVENT_MAX, async || {
            let mut stream = WorkloadStream::open(&self.agent.socket()).await?;
            stream.wait_for(&id(name), EVENT_MAX).await?;
            Ok::<_, anyhow::Error>(stream)
        });
        opened.await.expect("an SVID")
    }

    async fn stop(mut self) {
        self.agent.stop().await.expect("an orderly end");
        self.cluster.stop().await.expect("an orderly end");
        self.scratch.remove().expect("an empty place");
    }

    /// How often the agent's log says so.
    fn said(&self, what: &str) -> usize {
        self.agent.log().expect("a log").matches(what).count()
    }
}

fn id(name: &str) -> String {
    format!("spiffe://{TRUST_DOMAIN}/{name}")
}

#[tokio::test]
async fn an_entry_is_an_svid_on_the_open_stream_though_nobody_polls() {
    let world = World::new(3, |cluster, _| cluster.api_addresses()).await;
    world.create("first").await;
    let mut workload = world.workload("first").await;

    let mut took = Vec::with_capacity(ENTRIES);
    for number in 0..ENTRIES {
        let name = format!("w-{number}");
        let begun = Instant::now();
        world.create(&name).await;
        workload.wait_for(&id(&name), EVENT_MAX).await.expect("an SVID");
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let quantile = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    println!("entry create -> SVID on the open stream: p50 {:?}, p99 {:?}", quantile(0.5), quantile(0.99));

    let admin = world.cluster.servers[0].admin();
    let request = BatchDeleteEntryRequest { ids: vec!["w-0".to_owned()] };
    admin.entries().batch_delete_entry(request).await.expect("deleted");
    let gone = async {
        loop {
            let update = workload.next().await.expect("an update");
            let ids: BTreeSet<String> = update.svids.into_iter().map(|svid| svid.spiffe_id).collect();
            if !ids.contains(&id("w-0")) {
                return;
            }
        }
    };
    tokio::time::timeout(EVENT_MAX, gone).await.expect("it goes too");
    world.stop().await;
}

#[tokio::test]
async fn an_agent_on_a_follower_keeps_its_stream_through_the_death_of_the_leader() {
    // It knows the followers alone.
    let followers = |cluster: &Cluster, leader: usize| -> Vec<String> {
        let others = (0..cluster.servers.len()).filter(|position| *position != leader);
        others.map(|position| cluster.servers[position].api_address()).collect()
    };
    let mut world = World::new(3, followers).await;
    world.create("before").await;
    let mut workload = world.workload("before").await;
    assert_eq!(world.said("push stream opened"), 1);

    let leader = world.cluster.leader().await.expect("a leader");
    world.cluster.servers[leader].kill9().await.expect("it dies");
    world.create("after").await;
    workload.wait_for(&id("after"), EVENT_MAX).await.expect("an SVID");
    assert_eq!(world.said("push stream opened"), 1, "the stream was opened anew");
    world.stop().await;
}

#[tokio::test]
async fn an_agent_moves_on_when_its_replica_dies_and_ends_when_it_is_banned() {
    let mut world = World::new(3, |cluster, _| cluster.api_addresses()).await;
    world.create("before").await;
    let mut workload = world.workload("before").await;

    // One of two that are stopped has the stream, if it is not the third; then the next round stops it.
    let stopped = world.cluster.follower().await.expect("a follower");
    let opened = world.said("push stream opened");
    world.cluster.servers[stopped].stop().await.expect("an orderly end");
    world.create("after-stop").await;
    workload.wait_for(&id("after-stop"), EVENT_MAX).await.expect("an SVID");
    assert!(world.said("push stream opened") <= opened + 1, "one replica, one stream");
    world.cluster.servers[stopped].launch().expect("it starts");
    world.cluster.servers[stopped].ready().await.expect("it is ready");

    for position in 0..3 {
        world.cluster.servers[position].kill9().await.expect("it dies");
        let name = format!("after-{position}");
        world.create(&name).await;
        workload.wait_for(&id(&name), EVENT_MAX).await.expect("an SVID");
        world.cluster.servers[position].launch().expect("it starts");
        world.cluster.servers[position].ready().await.expect("it is ready");
        world.cluster.all_vote().await.expect("all are there");
    }

    let agents = world.cluster.servers[world.cluster.leader().await.expect("a leader")].admin();
    let request = BanAgentRequest { id: Some(world.agent_id.clone()) };
    agents.agents().ban_agent(request).await.expect("banned");
    let ended = tokio::time::timeout(EVENT_MAX, world.agent.process_mut().exited()).await;
    ended.expect("it ends").expect("a process");
    assert!(world.said("Agent is banned") > 0);
    assert!(world.said("failed to fetch authorized entries: rpc error: code = PermissionDenied") > 0);
    world.cluster.stop().await.expect("an orderly end");
    world.scratch.remove().expect("an empty place");
}
