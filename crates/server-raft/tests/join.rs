//! Who may join, and what becomes of those who come back with nothing.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use steeple_api::steeple::peer::SealingKeyRequest;
use steeple_api::steeple::peer::cluster_client::ClusterClient;
use steeple_ca::seal::{NextSealingKey, SealedKeyring, SealingKey};
use steeple_core::TrustDomain;
use steeple_server_raft::peer::{JoinError, JoinProgress, JoinRequest, PeerError, PeerId, Tcp, join};
use steeple_server_raft::raft::{Limits, ReadMode, Role, Start, StartError, Timing, start};
use steeple_server_raft::seal::KeyInUse;
use steeple_server_raft::surroundings::Surroundings;
use steeple_state::{CommandKind, Outcome};
use steeple_storage::{Options, Storage};
use support::*;
use tokio::time::Instant;
use tonic::Code;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_server_founds_and_comes_back() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let key = Arc::new(SealingKey::generate(&SystemRandom::new()).expect("randomness"));
    let parts = |trust_domain: &str| Start {
        storage: Storage::open(directory.path(), Options::default()).expect("a store"),
        trust_domain: TrustDomain::from_name(trust_domain).expect("a name"),
        sealing_key: KeyInUse::open(Arc::clone(&key), Path::new("sealing-key")),
        surroundings: Surroundings::real(),
        timing: Timing { promote_after: Duration::ZERO, ..Timing::default() },
        clean_up: None,
        limits: Limits::default(),
        api_address: "localhost:8081".to_owned(),
        cluster: None,
    };
    let replica = start(parts("example.org")).await.expect("it starts");
    let outcome = replica.propose(create("kept"), origin()).await.expect("written");
    assert!(is_created(&outcome));
    let hash = replica.state_hash().1;
    let cluster = replica.status().cluster_uuid;
    replica.shutdown().await;
    drop(replica);

    let refused = start(parts("other.org")).await.map(drop);
    assert!(matches!(refused, Err(StartError::TrustDomain { .. })), "{refused:?}");

    let replica = start(parts("example.org")).await.expect("it starts again");
    let view = replica.read(ReadMode::Linearizable, Instant::now() + PATIENCE).await.expect("a leader of one");
    assert!(view.state().entry("kept").is_some());
    assert_eq!((replica.state_hash().1, replica.status().cluster_uuid), (hash, cluster));
    replica.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_without_the_sealing_key_is_refused() {
    let cluster = Cluster::default();
    let servers = cluster.servers(&["a"]).await;
    let stranger = Cluster::default();
    let refused = stranger.server("b", &[servers[0].address()]).await.map(drop);
    assert!(
        matches!(refused, Err(StartError::Peer(PeerError::Join(JoinError::WrongSealingKey { .. })))),
        "{refused:?}"
    );
    assert_eq!(servers[0].replica().status().members.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sealing_key_in_force_is_given_to_nobody() {
    let cluster = Cluster::default();
    let servers = cluster.servers(&["a", "b"]).await;
    let (key_id, us) = (cluster.key.id().expect("a name"), servers[1].peer_id());
    let mut member = ClusterClient::new(cluster.peer_channel(&servers[0], us));
    let mut stranger = ClusterClient::new(cluster.stranger_channel(&servers[0]));
    let mut removed = ClusterClient::new(cluster.peer_channel(&servers[0], PeerId { node_id: 7, ..us }));
    let ask = || SealingKeyRequest { key_id: key_id.clone() };
    let refused = member.sealing_key(ask()).await.expect_err("it is in force");
    assert_eq!(refused.code(), Code::NotFound, "{refused}");

    // Not even where the log says so.
    let (content, expected_revision) = {
        let state = servers[0].replica().state().read();
        let sealed = state.keyring().expect("a keyring").clone();
        let keyring = SealedKeyring::decode(&sealed.content).expect("it decodes");
        (keyring.with_next(Some(NextSealingKey::Offered(key_id.clone()))).encode(), sealed.revision)
    };
    let offer = CommandKind::SetKeyring { content, expected_revision };
    let outcome = servers[0].replica().propose(offer, origin()).await.expect("a leader");
    assert_eq!(outcome, Outcome::Done);
    let refused = member.sealing_key(ask()).await.expect_err("it is in force");
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    assert_eq!(stranger.sealing_key(ask()).await.expect_err("no certificate").code(), Code::Unauthenticated);
    assert_eq!(removed.sealing_key(ask()).await.expect_err("no member").code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_may_ask_any_member() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b"]).await;
    let first = leader(&servers).await;
    let follower = servers[1 - first].address();
    servers.push(cluster.server("c", &[follower]).await.expect("it joins"));
    for server in &servers {
        server.until(|replica| has_voters(replica, 3)).await;
    }
    assert_equal(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_disk_comes_back_as_a_new_node() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    servers[0].write("kept").await.expect("written");
    let wiped = (leader(&servers).await + 1) % 3;
    let old_id = servers[wiped].replica().node_id();
    servers[wiped].kill().await;
    let others: Vec<_> = servers.iter().filter(|server| server.replica.is_some()).map(Server::address).collect();

    // The same name, and nothing else of it.
    let fresh = cluster.server(servers[wiped].name, &others).await.expect("it joins");
    let new_id = fresh.replica().node_id();
    assert!(new_id > 3, "ids are never used twice, this one is {new_id}");
    servers[wiped] = fresh;
    for server in &servers {
        let settled = |replica: &steeple_server_raft::raft::Replica| {
            let status = replica.status();
            !status.changing
                && status.members.len() == 3
                && status.members.iter().all(|member| member.role != Role::Learner && member.node_id != old_id)
        };
        server.until(settled).await;
    }
    assert!(servers[wiped].has("kept"));
    assert!(servers[0].replica().state().read().member(old_id).is_none());
    assert_equal(&servers).await;
}

/// A member that stopped before the log reached it may be the one that a quorum lacks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_member_is_told_who_it_is_without_a_quorum() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let (left, id) = (servers[0].address(), servers[2].peer_id());
    let ask = |storage_uuid, advertise: String| JoinRequest {
        addresses: vec![left.clone()],
        name: "c".to_owned(),
        advertise,
        api_address: String::new(),
        storage_uuid,
        trust_domain: TrustDomain::from_name("example.org").expect("a name"),
        sealing_key: Arc::clone(&cluster.key),
        clock: Surroundings::real().clock,
        network: Arc::new(Tcp),
        progress: JoinProgress::default(),
    };
    let address = servers[2].address();
    servers[1].kill().await;
    servers[2].kill().await;

    let known = ask(id.storage_uuid, address.clone());
    let answer = join(&known).await.expect("it is on the list");
    assert_eq!((answer.node_id, answer.cluster_uuid), (id.node_id, id.cluster_uuid));
    // What would have to be written waits for the quorum.
    for asks in [ask([9; 16], address), ask(id.storage_uuid, "localhost:1".to_owned())] {
        let waits = tokio::time::timeout(Duration::from_secs(2), join(&asks)).await;
        assert!(waits.is_err(), "{:?}", waits.map(|answer| answer.map(|answer| answer.node_id)));
    }
}
