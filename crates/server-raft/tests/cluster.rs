//! Three replicas over real sockets and disks: elections, writes, losses and returns.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use steeple_api::steeple::peer::{JwtSigned, SignItem, SignResult, sign_result};
use steeple_core::{Clock, SystemClock};
use steeple_server_raft::peer::SigningHandler;
use steeple_server_raft::raft::{MembershipError, ProposeError, ReadError, ReadMode};
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_survives_its_leader() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let first = leader(&servers).await;
    let follower = (first + 1) % 3;

    // Through a follower, and read back on that same follower at once.
    let outcome = servers[follower].write("through-follower").await.expect("written");
    assert!(is_created(&outcome), "{outcome:?}");
    assert!(servers[follower].has("through-follower"));

    servers[first].kill().await;
    let outcome = servers[follower].write("after-the-leader").await.expect("written by the new leader");
    assert!(is_created(&outcome), "{outcome:?}");
    assert_ne!(leader(&servers).await, first);

    cluster.restart(&mut servers[first]).await;
    servers[first].until(|replica| replica.state().read().entry("after-the-leader").is_some()).await;
    assert_equal(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linearizable_read_sees_what_any_replica_acknowledged() {
    let cluster = Cluster::default();
    let servers = cluster.servers(&["a", "b", "c"]).await;
    for round in 0..20 {
        let (writer, reader) = (&servers[round % 3], &servers[(round + 1) % 3]);
        let id = format!("entry-{round}");
        writer.write(&id).await.expect("written");
        let view = reader.replica().read(ReadMode::Linearizable, Instant::now() + PATIENCE).await.expect("a view");
        assert!(view.state().entry(&id).is_some(), "{id} is missing at {}", view.index);
    }
    assert_equal(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_not_a_second_effect() {
    let cluster = Cluster::default();
    let servers = cluster.servers(&["a", "b", "c"]).await;
    let request_id = [7; 16];
    let first = servers[0].replica().propose(create("once"), origin_for(request_id, PATIENCE)).await.expect("written");
    let again = servers[1].replica().propose(create("once"), origin_for(request_id, PATIENCE)).await.expect("answered");
    assert!(is_created(&first));
    assert_eq!(first, again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_answered() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    servers[1].kill().await;
    servers[2].kill().await;
    let survivor = servers[0].replica().clone();
    let soon = || Instant::now() + Duration::from_secs(3);
    let read = survivor.read(ReadMode::Linearizable, soon()).await.map(|view| view.index);
    assert!(matches!(read, Err(ReadError::NoLeader { .. })), "{read:?}");
    let written = survivor.propose(create("lost"), origin_for([1; 16], Duration::from_secs(3))).await;
    assert!(
        matches!(written, Err(ProposeError::NoLeader { .. } | ProposeError::Timeout { .. })),
        "a minority must not acknowledge: {written:?}"
    );
    // What it has it still shows to whoever asks for no more.
    assert!(survivor.read(ReadMode::Local, soon()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_entries() {
    let cluster = Cluster::default();
    let servers = cluster.servers(&["a", "b", "c"]).await;
    let before = servers[0].replica().status().last_log_index;
    let writes = (0..300).map(|number| {
        let server = &servers[number % 3];
        async move { server.write(&format!("entry-{number}")).await }
    });
    for outcome in futures::future::join_all(writes).await {
        assert!(is_created(&outcome.expect("written")));
    }
    let entries = servers[0].replica().status().last_log_index - before;
    assert!(entries < 300, "{entries} log entries for 300 commands");
    assert_equal(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let first = leader(&servers).await;
    let term = servers[first].replica().status().term;
    servers[first].replica.take().expect("it runs").shutdown().await;
    let follower = (first + 1) % 3;
    servers[follower].write("after").await.expect("written");
    // One election that was asked for: nobody had to wait for a timeout and collide.
    assert_eq!(servers[follower].replica().status().term, term + 1);

    let second = leader(&servers).await;
    let to =
        servers.iter().find(|s| s.replica.as_ref().is_some_and(|r| r.node_id() != servers[second].replica().node_id()));
    let to = to.expect("another one").replica().node_id();
    let through = servers[follower].replica();
    assert_eq!(through.transfer_leadership(Some(to), Instant::now() + PATIENCE).await, Ok(to));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removal_spares_the_quorum() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let first = leader(&servers).await;
    let (victim, other) = ((first + 1) % 3, (first + 2) % 3);
    let victim_id = servers[victim].replica().node_id();
    let other_id = servers[other].replica().node_id();

    servers[victim].kill().await;
    let leading = servers[first].replica();
    until_unreachable(leading, victim_id).await;
    // Of the two that would be left, one is dead.
    assert_eq!(
        leading.remove_member(other_id, Instant::now() + PATIENCE).await,
        Err(MembershipError::WouldLoseQuorum { node_id: other_id, alive: 1, voters: 2 })
    );
    // The dead one may go, and a follower may be asked.
    let follower = servers[other].replica();
    follower.remove_member(victim_id, Instant::now() + PATIENCE).await.expect("removed");
    servers[other].until(|replica| replica.status().members.len() == 2).await;
    assert_eq!(
        leading.remove_member(victim_id, Instant::now() + PATIENCE).await,
        Err(MembershipError::UnknownMember(victim_id))
    );

    // A removed disk does not come back by itself: nobody answers it any more.
    cluster.restart(&mut servers[victim]).await;
    let read = servers[victim].replica().read(ReadMode::Linearizable, Instant::now() + Duration::from_secs(3)).await;
    assert!(matches!(read.map(|view| view.index), Err(ReadError::NoLeader { .. })));
    servers[first].write("undisturbed").await.expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_falls_with_the_leader() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let first = leader(&servers).await;
    let mut leadership = servers[first].replica().leadership();
    leadership.wait_for(|now| now.is_leader).await.expect("it runs");
    let old = servers[first].replica().clone();
    let fence = old.fence().expect("the leader may act");
    assert_eq!(old.check(&fence), Ok(()));
    assert!(servers[(first + 1) % 3].replica().fence().is_err());

    old.transfer_leadership(None, Instant::now() + PATIENCE).await.expect("handed over");
    assert!(old.check(&fence).is_err());
    servers[first].kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lagging_replica_catches_up_from_a_snapshot() {
    let mut cluster = Cluster::default();
    cluster.limits.snapshot_entries = 40;
    cluster.limits.log_keep_entries = 5;
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let away = (leader(&servers).await + 1) % 3;
    let held = servers[away].replica().status().last_log_index;
    servers[away].kill().await;

    let writer = (away + 1) % 3;
    let mut number = 0;
    while servers.iter().filter_map(|server| server.replica.as_ref()).any(|r| r.status().purged_index <= held) {
        servers[writer].write(&format!("entry-{number}")).await.expect("written");
        number += 1;
        assert!(number < 2000, "no log was purged: {:?}", servers[writer].replica().status());
    }

    cluster.restart(&mut servers[away]).await;
    assert_equal(&servers).await;
    let status = servers[away].replica().status();
    assert!(status.snapshot_index > held, "it was not caught up by a snapshot: {status:?}");
    assert!(servers[away].has("entry-0"));

    // What was installed survives a restart.
    servers[away].kill().await;
    cluster.restart(&mut servers[away]).await;
    assert_equal(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_may_stop_and_come_back() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    servers[0].write("kept").await.expect("written");
    assert_equal(&servers).await;
    for server in &mut servers {
        server.kill().await;
    }
    for server in &mut servers {
        cluster.restart(server).await;
    }
    assert!(servers.iter().all(|server| server.has("kept")), "each has it on its own disk");
    servers[1].write("more").await.expect("written");
    assert_equal(&servers).await;
    assert!(has_voters(servers[0].replica(), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_wrong_clock_does_not_set_the_time() {
    let cluster = Cluster::default();
    let servers = cluster.servers(&["a", "b", "c"]).await;
    servers[0].write("before").await.expect("written");
    let first = leader(&servers).await;
    for server in servers.iter().filter(|server| server.replica().node_id() != servers[first].replica().node_id()) {
        // A follower knows the others' clocks once they answered its pings.
        server.until(|replica| replica.status().members.iter().all(|member| member.reachable)).await;
    }
    let day_ms = 24 * 3600 * 1000;
    // At once, so that its first stamps come before anybody has measured the jump.
    servers[first].clock.ahead_ms.store(day_ms, Ordering::SeqCst);
    for number in 0..10 {
        let outcome = servers[number % 3].write(&format!("after-{number}")).await.expect("written by another leader");
        assert!(is_created(&outcome));
    }
    assert_ne!(leader(&servers).await, first);
    let time = servers[(first + 1) % 3].replica().state().read().now();
    assert!(time.as_ms() < SystemClock.now().as_ms() + day_ms / 2, "the trust domain lives at {time}");

    // Set right again, it may lead again.
    servers[first].clock.ahead_ms.store(0, Ordering::SeqCst);
    let id = servers[first].replica().node_id();
    let handed = async {
        while servers[first].replica().transfer_leadership(Some(id), Instant::now() + PATIENCE).await != Ok(id) {}
    };
    tokio::time::timeout(PATIENCE, handed).await.expect("it leads again");
    servers[first].write("again").await.expect("written");
    assert_equal(&servers).await;
}

/// Signs by naming itself.
struct Signer {
    node_id: u64,
}

#[tonic::async_trait]
impl SigningHandler for Signer {
    async fn sign(&self, items: Vec<SignItem>) -> Vec<SignResult> {
        let signed = |_| JwtSigned { token: self.node_id.to_string(), issued_at: 0, expires_at: 0 };
        items.into_iter().map(|item| SignResult { result: Some(sign_result::Result::Jwt(signed(item))) }).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_goes_to_the_leader() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    for server in &servers {
        let node_id = server.replica().node_id();
        server.replica().set_signing_handler(Arc::new(Signer { node_id }));
    }
    let signer = |results: Vec<SignResult>| match results.into_iter().next().and_then(|result| result.result) {
        Some(sign_result::Result::Jwt(signed)) => signed.token,
        other => panic!("not signed: {other:?}"),
    };
    let first = leader(&servers).await;
    let follower = (first + 1) % 3;
    let sign = |server: &Server| {
        let replica = server.replica().clone();
        // More than one message may carry.
        async move { replica.forward_sign(vec![SignItem::default(); 600], Instant::now() + PATIENCE).await }
    };
    let results = sign(&servers[follower]).await.expect("signed");
    assert_eq!(results.len(), 600);
    assert_eq!(signer(results), servers[first].replica().node_id().to_string());

    servers[first].kill().await;
    let results = sign(&servers[follower]).await.expect("signed by the next leader");
    let second = leader(&servers).await;
    assert_eq!(signer(results), servers[second].replica().node_id().to_string());
}
