//! The driver of the authorities waits for whoever has to know the next one. Replicas are real, the driver's clock is
//! moved by hand.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use steeple_ca::acknowledgement::LIVE_WITHIN;
use steeple_ca::policy::Policy;
use steeple_core::{
    AttestedAgent, Authority, AuthorityKind, Clock as _, SelectorSet, SpiffeId, Timestamp, TrustDomain,
};
use steeple_server_raft::acknowledgement::{Acknowledgements, gather};
use steeple_server_raft::driver::ca::CaDriver;
use steeple_server_raft::issue::{AuthorityKeys, AuthorityMaker, TokenIssuers};
use steeple_server_raft::raft::Replica;
use steeple_server_raft::seal::KeyInUse;
use steeple_state::{Attestation, CLUSTER_VERSION_WIT, CommandKind, Outcome};
use steeple_transport::tls::PeerIdentity;
use support::{Cluster, PATIENCE, Server, WrongClock, leader, origin, rewrite_version};
use tokio::sync::watch;
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);
const X509: AuthorityKind = AuthorityKind::X509;

/// A replica's part of the story.
struct Node {
    driver: CaDriver,
    seen: Arc<Acknowledgements>,
}

impl Node {
    fn of(cluster: &Cluster, server: &Server, clock: &Arc<WrongClock>) -> Self {
        let replica = server.replica().clone();
        let (_, shown) = watch::channel(None);
        // It has listened for long enough to know its agents.
        let started = Instant::now().checked_sub(LIVE_WITHIN).expect("the machine is up for a while");
        let seen = Arc::new(Acknowledgements::new(replica.state().clone(), shown, started));
        replica.set_acknowledgement_handler(Arc::clone(&seen) as _);
        let maker = Arc::new(AuthorityMaker {
            replica,
            keys: Arc::new(AuthorityKeys::new(
                KeyInUse::open(Arc::clone(&cluster.key), Path::new("sealing-key")),
                TokenIssuers::default(),
            )),
            policy: Policy::default(),
            trust_domain: TrustDomain::from_name("example.org").expect("a name"),
            upstream: None,
        });
        let driver = CaDriver { maker, clock: Arc::clone(clock) as _, kinds: vec![X509] };
        Self { driver, seen }
    }

    /// Everything that is due now.
    async fn settle(&self) {
        while self.driver.step(&mut BTreeSet::new()).await.is_zero() {}
    }
}

fn advance(clock: &WrongClock, by: Duration) {
    let ms = i64::try_from(by.as_millis()).expect("a few hours");
    clock.ahead_ms.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
}

fn agent_id() -> SpiffeId {
    SpiffeId::parse("spiffe://example.org/spire/agent/a").expect("an ID")
}

fn identity() -> PeerIdentity {
    PeerIdentity {
        chain: Vec::new(),
        serial: "1".to_owned(),
        spiffe_id: Ok(agent_id()),
        not_after: Timestamp::from_secs(i64::MAX / 1000),
        authority_key_id: Vec::new(),
    }
}

/// An agent with a record; without one nobody is waited for.
async fn attest(replica: &Replica) {
    let agent = AttestedAgent {
        id: agent_id(),
        attestation_type: "x509pop".to_owned(),
        serial: "1".to_owned(),
        not_after: i64::MAX / 1000,
        new_serial: String::new(),
        new_not_after: 0,
        can_reattest: true,
        selectors: SelectorSet::default(),
        agent_version: String::new(),
    };
    let attestation = Attestation { agent, join_token: None, first_use: false };
    let outcome = replica.propose(CommandKind::AttestAgent(attestation), origin()).await.expect("a leader");
    assert!(!matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
}

fn sequence(replica: &Replica) -> u64 {
    replica.state().read().own_bundle().expect("a bundle").sequence
}

fn slot(replica: &Replica, which: impl Fn(&steeple_core::AuthoritySet) -> Option<&Authority>) -> String {
    which(replica.state().read().authorities(X509)).expect("an authority").id.clone()
}

/// Brings a cluster to the hour at which its second authority is due, with an agent that knows only the first.
async fn due(nodes: &[Node], leader: usize, seen_by: usize, clock: &WrongClock) -> String {
    let replica = &nodes[leader].driver.maker.replica;
    nodes[leader].settle().await;
    attest(replica).await;
    nodes[seen_by].seen.fetched(&agent_id(), &identity(), sequence(replica));
    advance(clock, 13 * HOUR);
    nodes[leader].settle().await;
    let prepared = slot(replica, |set| set.prepared());
    // The successor is due at hour 20, and signs at hour 21 whoever is missing.
    advance(clock, 7 * HOUR + HOUR / 4);
    prepared
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_acknowledge_delays_the_activation_until_the_bound() {
    let (cluster, clock) = (Cluster::default(), Arc::new(WrongClock::default()));
    let servers = cluster.servers(&["a"]).await;
    let nodes = [Node::of(&cluster, &servers[0], &clock)];
    let prepared = due(&nodes, 0, 0, &clock).await;
    nodes[0].settle().await;
    let replica = servers[0].replica();
    assert_eq!(slot(replica, |set| set.prepared()), prepared, "it waits");
    assert_eq!(gather(replica).await.tally.missing_agents, BTreeSet::from([agent_id()]));
    advance(&clock, HOUR);
    nodes[0].settle().await;
    assert_eq!(slot(replica, |set| set.active.as_ref()), prepared, "it went on without the agent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_goes_on_with_the_wait() {
    let (cluster, clock) = (Cluster::default(), Arc::new(WrongClock::default()));
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let mut nodes: Vec<Node> = servers.iter().map(|server| Node::of(&cluster, server, &clock)).collect();
    let first = leader(&servers).await;
    let follower = (first + 1) % servers.len();
    let prepared = due(&nodes, first, follower, &clock).await;
    nodes[first].settle().await;
    assert_eq!(slot(servers[first].replica(), |set| set.prepared()), prepared, "it waits");

    servers[first].kill().await;
    // The store is free again once nobody holds the replica.
    nodes.remove(first);
    let mut survivors: Vec<usize> = (0..servers.len()).filter(|position| *position != first).collect();
    let second = leader(&servers).await;
    survivors.retain(|position| *position != second);
    let node = |position: usize| if position > first { position - 1 } else { position };
    nodes[node(second)].settle().await;
    let known = gather(servers[second].replica()).await;
    assert_eq!((known.tally.missing_replicas.len(), known.tally.missing_agents.len()), (1, 1));
    assert_eq!(slot(servers[second].replica(), |set| set.prepared()), prepared, "it still waits");

    // The agent comes to a replica that did not know it, and the one that was killed comes back.
    nodes[node(second)].seen.fetched(&agent_id(), &identity(), sequence(servers[second].replica()));
    nodes[node(second)].settle().await;
    assert_eq!(slot(servers[second].replica(), |set| set.prepared()), prepared, "one replica is missing");
    cluster.restart(&mut servers[first]).await;
    let back = Node::of(&cluster, &servers[first], &clock);
    let applied = *servers[second].replica().applied().borrow();
    servers[first].until(|replica| *replica.applied().borrow() >= applied).await;
    let now_leads = leader(&servers).await;
    let leading = if now_leads == first { &back } else { &nodes[node(now_leads)] };
    leading.settle().await;
    assert_eq!(slot(servers[now_leads].replica(), |set| set.active.as_ref()), prepared, "everybody knows it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_without_agents_goes_by_time() {
    let (cluster, clock) = (Cluster::default(), Arc::new(WrongClock::default()));
    let servers = cluster.servers(&["a"]).await;
    let node = Node::of(&cluster, &servers[0], &clock);
    node.settle().await;
    advance(&clock, 13 * HOUR);
    node.settle().await;
    let prepared = slot(servers[0].replica(), |set| set.prepared());
    advance(&clock, 7 * HOUR + HOUR / 4);
    node.settle().await;
    assert_eq!(slot(servers[0].replica(), |set| set.active.as_ref()), prepared);
}

/// All clocks were a month ahead, and are right again.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_reset_of_the_clock_an_authority_that_is_valid_signs() {
    let cluster = Cluster::default();
    let server = cluster.server("a", &[]).await.expect("it starts");
    let (replica, clock) = (server.replica(), &server.clock);
    let node = Node::of(&cluster, &server, clock);
    let issued_at = || replica.state().read().active_authority(X509).expect("an authority").issued_at;
    node.settle().await;
    let first = slot(replica, |set| set.active.as_ref());
    advance(clock, 30 * 24 * HOUR);
    node.settle().await;
    assert_ne!(slot(replica, |set| set.active.as_ref()), first, "the first one had ended");
    clock.ahead_ms.store(0, std::sync::atomic::Ordering::SeqCst);
    node.settle().await;
    assert!(issued_at() > clock.now() && replica.state().read().now() > clock.now(), "nothing mends it by itself");

    assert!(replica.is_clock_agreed());
    let outcome = replica.propose(CommandKind::ResetClock, origin()).await.expect("a leader");
    assert_eq!(outcome, Outcome::Pruned { items: 0, more: false });
    assert!(replica.state().read().now() <= clock.now());
    node.settle().await;
    // The successor is known before it signs.
    advance(clock, HOUR);
    node.settle().await;
    assert!(issued_at() <= clock.now());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_for_wit_svids_waits_for_its_cluster_version() {
    let cluster = Cluster::default();
    let mut server = cluster.server("a", &[]).await.expect("it starts");
    server.kill().await;
    rewrite_version(server.directory.path(), Some(CLUSTER_VERSION_WIT as u8 - 1));
    cluster.restart(&mut server).await;
    server.until(|replica| replica.leadership().borrow().is_leader).await;
    let (replica, wit) = (server.replica(), AuthorityKind::Wit);
    let mut node = Node::of(&cluster, &server, &Arc::new(WrongClock::default()));
    node.driver.kinds = vec![X509, wit];
    let signs = |kind| replica.state().read().active_authority(kind).is_some();

    node.settle().await;
    assert!(signs(X509) && !signs(wit), "a replica of the release before would stop at it");
    replica.finalize(Instant::now() + PATIENCE).await.expect("the one replica can follow");
    node.settle().await;
    assert!(signs(wit));
    let published = replica.state().read().own_bundle().expect("a bundle").wit_authorities.len();
    assert_eq!(published, 1);
}
