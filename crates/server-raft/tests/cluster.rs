//! Three replicas over real sockets and disks: elections, writes, losses and returns.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use steeple_api::steeple::peer::cluster_client::ClusterClient;
use steeple_api::steeple::peer::raft_client::RaftClient;
use steeple_api::steeple::peer::{
    AppendEntriesRequest, ProposeFailure, ProposeRequest, ReadIndexRequest, SignItem, SignResult, TokenSigned, Vote,
    propose_response, sign_result,
};
use steeple_core::{Clock, SystemClock, Timestamp};
use steeple_server_raft::peer::{MESSAGE_BYTES_MAX, PeerCaContent, PeerId, SignError, SigningHandler};
use steeple_server_raft::raft::{
    Actors, Change, Fence, FenceError, Limits, MembershipError, ProposeError, ReadError, ReadMode, Replica,
};
use steeple_state::{Command, CommandKind, Outcome, codec};
use steeple_storage::{Options, Storage};
use steeple_testkit::{Port, until};
use support::*;
use tokio::time::Instant;
use tonic::Code;

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
    assert!(matches!(read, Err(ReadError::NoLeader { .. } | ReadError::Stopped { .. })), "{read:?}");
    let written = survivor.propose(create("lost"), origin_for([1; 16], Duration::from_secs(3))).await;
    assert!(
        matches!(written, Err(ProposeError::NoLeader { .. } | ProposeError::Timeout { .. })),
        "a minority must not acknowledge: {written:?}"
    );
    // What it has it still shows to whoever asks for no more.
    assert!(survivor.read(ReadMode::Local, soon()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_passes_on_that_the_leader_has_too_much_to_do() {
    let steady = Cluster::steady();
    let cluster = Cluster { limits: Limits { queue_max: 1, ..steady.limits }, ..steady };
    let servers = cluster.servers(&["a", "b", "c"]).await;
    let follower = &servers[(leader(&servers).await + 1) % 3];
    let ids: Vec<String> = (0..200).map(|number| format!("entry-{number}")).collect();
    let outcomes = futures::future::join_all(ids.iter().map(|id| follower.write(id))).await;
    let mut refused = 0;
    for (id, outcome) in ids.iter().zip(outcomes) {
        match outcome {
            Ok(outcome) => assert!(is_created(&outcome)),
            Err(ProposeError::Overloaded { queued, retry_after }) => {
                assert!(queued == 1 && retry_after > Duration::ZERO, "{queued} {retry_after:?}");
                refused += 1;
                assert!(!follower.has(id), "nothing was written");
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0, "two hundred at once are too many for a queue of one");
    assert_equal(&servers).await;
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
    let mut cluster = Cluster::default();
    // Nobody starts an election by itself before the writes below give up.
    (cluster.timing.election_min, cluster.timing.election_max) = (PATIENCE * 2, PATIENCE * 3);
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let first = leader(&servers).await;
    let term = servers[first].replica().status().term;
    servers[first].replica.take().expect("it runs").shutdown().await;
    let follower = (first + 1) % 3;
    servers[follower].write("after").await.expect("written");
    // One election, which was asked for.
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
    let cluster = Cluster::steady();
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
        leading.change_membership(Change::Remove(other_id), Instant::now() + PATIENCE).await,
        Err(MembershipError::WouldLoseQuorum { node_id: other_id, alive: 1, voters: 2 })
    );
    // The dead one may go, and a follower may be asked.
    let follower = servers[other].replica();
    follower.change_membership(Change::Remove(victim_id), Instant::now() + PATIENCE).await.expect("removed");
    servers[other].until(|replica| replica.status().members.len() == 2).await;
    assert_eq!(
        leading.change_membership(Change::Remove(victim_id), Instant::now() + PATIENCE).await,
        Err(MembershipError::UnknownMember(victim_id))
    );

    // A removed disk does not come back by itself: nobody answers it any more, or it has been told.
    cluster.restart(&mut servers[victim]).await;
    let read = servers[victim].replica().read(ReadMode::Linearizable, Instant::now() + Duration::from_secs(3)).await;
    let read = read.map(|view| view.index);
    assert!(matches!(read, Err(ReadError::NoLeader { .. } | ReadError::Stopped { .. })), "{read:?}");
    servers[first].write("undisturbed").await.expect("written");
}

/// Once a quorum has told its clocks, which it does every second.
async fn fence(replica: &Replica, actors: Actors) -> Fence {
    let told = async {
        loop {
            match replica.fence(actors).await {
                Err(FenceError::ClockNotAgreed) => tokio::time::sleep(Duration::from_millis(20)).await,
                fence => return fence.expect("it may act"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("clocks are told")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_falls_with_the_leader() {
    let cluster = Cluster::steady();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let first = leader(&servers).await;
    let mut leadership = servers[first].replica().leadership();
    leadership.wait_for(|now| now.is_leader).await.expect("it runs");
    let old = servers[first].replica().clone();
    let fence = fence(&old, Actors::Leader).await;
    assert_eq!(old.check(&fence).await, Ok(()));
    let other = servers[(first + 1) % 3].replica();
    assert_eq!(other.fence(Actors::Leader).await, Err(FenceError::NotLeader));

    old.transfer_leadership(None, Instant::now() + PATIENCE).await.expect("handed over");
    assert!(old.check(&fence).await.is_err());
    servers[first].kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voters_fence_falls_with_the_quorum() {
    let cluster = Cluster::steady();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let first = leader(&servers).await;
    let (voter, writer) = ((first + 1) % 3, (first + 2) % 3);
    fence(servers[voter].replica(), Actors::Voters).await;
    for round in 0..20 {
        let id = format!("entry-{round}");
        servers[writer].write(&id).await.expect("written");
        let replica = servers[voter].replica();
        let fence = replica.fence(Actors::Voters).await.expect("a quorum confirms");
        assert!(replica.state().read().entry(&id).is_some(), "what was acknowledged before is known: {id}");
        assert_eq!(replica.check(&fence).await, Ok(()));
    }
    let replica = servers[voter].replica().clone();
    let fence = replica.fence(Actors::Voters).await.expect("a quorum confirms");
    servers[first].kill().await;
    servers[writer].kill().await;
    assert!(matches!(replica.check(&fence).await, Err(FenceError::Unconfirmed { .. })));
    assert!(replica.fence(Actors::Voters).await.is_err());
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
    for server in &servers {
        let status = server.replica().status();
        assert!(status.purged_index <= status.snapshot_index, "the log is purged above the snapshot: {status:?}");
    }
    assert!(servers[away].has("entry-0"));

    // What was installed survives a restart. On disk, too, nothing is purged that no snapshot holds.
    servers[away].kill().await;
    {
        let storage = Storage::open(servers[away].directory.path(), Options::default()).expect("a store");
        let purged = storage.log().bounds().purged.map(|purged| purged.index);
        let snapshot = storage.snapshots().current().and_then(|info| info.applied);
        assert!(purged.is_some() && purged <= snapshot, "purged to {purged:?}, snapshot of {snapshot:?}");
    }
    cluster.restart(&mut servers[away]).await;
    assert_equal(&servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_leader_decides_by_its_clock_is_not_carried_to_another_one() {
    let cluster = Cluster::steady();
    let servers = cluster.servers(&["a", "b", "c"]).await;
    let leads = leader(&servers).await;
    let follower = (leads + 1) % 3;
    let refused = servers[follower].replica().propose_here(create("late"), origin()).await;
    assert!(matches!(refused, Err(ProposeError::NoLeader { .. })), "{refused:?}");
    let done = servers[leads].replica().propose_here(create("own"), origin()).await.expect("it leads");
    assert!(is_created(&done));
    assert_equal(&servers).await;
    assert!(servers[follower].has("own") && !servers[follower].has("late"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_cannot_write_a_snapshot_has_failed_and_says_so() {
    let mut cluster = Cluster::default();
    cluster.limits.snapshot_entries = 40;
    let servers = cluster.servers(&["a"]).await;
    std::fs::remove_dir_all(servers[0].directory.path().join("snapshots")).expect("it had a place for snapshots");
    for number in 0..200 {
        if servers[0].write(&format!("entry-{number}")).await.is_err() {
            break;
        }
    }
    let failed = tokio::time::timeout(PATIENCE, servers[0].replica().failed()).await.expect("it stops in time");
    assert!(failed.to_string().contains("mend what that names"), "{failed}");
    assert!(failed.reason.contains("napshot"), "{failed}");
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

/// Their certificates were made while all clocks were two months ahead, and begin later than now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_whose_clocks_were_ahead_come_together_again_and_their_time_is_set_back() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let months = 60 * 24 * 3600 * 1000;
    for ahead_ms in [months, 0] {
        for server in &mut servers {
            server.kill().await;
            server.clock.ahead_ms.store(ahead_ms, Ordering::SeqCst);
        }
        for server in &mut servers {
            cluster.restart(server).await;
        }
        servers[1].write(&format!("at-{ahead_ms}")).await.expect("written");
    }
    let replica = servers[1].replica();
    assert!(replica.state().read().now() > SystemClock.now(), "the log's time does not run backwards");
    let outcome = replica.propose(CommandKind::ResetClock, origin()).await.expect("a leader");
    assert_eq!(outcome, Outcome::Pruned { items: 0, more: false });
    assert_equal(&servers).await;
    for server in &servers {
        assert!(server.replica().state().read().now() <= SystemClock.now());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_with_a_wrong_clock_signs_nothing_and_ends_nobodys_time() {
    let cluster = Cluster::steady();
    let servers = cluster.servers(&["a", "b", "c"]).await;
    servers[0].write("now").await.expect("written");
    let voter = &servers[(leader(&servers).await + 1) % 3];
    voter.until(|replica| replica.state().read().entry("now").is_some()).await;
    let replica = voter.replica().clone();
    let fence = fence(&replica, Actors::Voters).await;
    assert!(!replica.clock_may_be_ahead());

    // Told at once, by the log and by what the peers said before.
    for ahead_ms in [24 * 3600 * 1000, -11_000] {
        voter.clock.ahead_ms.store(ahead_ms, Ordering::SeqCst);
        assert!(replica.has_wrong_clock() && replica.clock_may_be_ahead());
        assert_eq!(replica.check(&fence).await, Err(FenceError::WrongClock));
        assert_eq!(replica.fence(Actors::Voters).await, Err(FenceError::WrongClock));
    }

    voter.clock.ahead_ms.store(0, Ordering::SeqCst);
    assert!(!replica.has_wrong_clock());
    replica.fence(Actors::Voters).await.expect("a quorum confirms");
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

/// Of two clocks that differ nobody knows which one is right, so the leader stamps, and the follower refuses. What
/// stays in the leader's log must not stop all writes when its clock has been set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stamped_ahead_stops_no_cluster() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    servers[0].write("before").await.expect("written");
    // Two start, and know nothing of the third one's clock.
    for server in &mut servers {
        server.kill().await;
    }
    let (first, second, third) = (0, 1, 2);
    cluster.restart(&mut servers[first]).await;
    cluster.restart(&mut servers[second]).await;
    let id = servers[first].replica().node_id();
    let led = async {
        while servers[first].until_leader().await != id {
            let _ = servers[first].replica().transfer_leadership(Some(id), Instant::now() + PATIENCE).await;
        }
    };
    tokio::time::timeout(PATIENCE, led).await.expect("it leads");
    servers[first].write("between").await.expect("written");
    servers[first]
        .until(|replica| replica.status().members.iter().filter(|member| member.reachable).count() == 2)
        .await;
    let hour_ms = 3600 * 1000;
    servers[first].clock.ahead_ms.store(hour_ms, Ordering::SeqCst);
    let soon = origin_for([7; 16], Duration::from_secs(1));
    let refused = servers[first].replica().propose(create("ahead"), soon).await;
    assert!(refused.is_err(), "{refused:?}");

    servers[first].clock.ahead_ms.store(0, Ordering::SeqCst);
    cluster.restart(&mut servers[third]).await;
    // Another one leads, and the time is right.
    let written = async { while servers[first].write("after").await.is_err() {} };
    tokio::time::timeout(2 * PATIENCE, written).await.expect("the cluster writes again");
    assert_ne!(servers[second].until_leader().await, id);
    assert_equal(&servers).await;
    let time = servers[second].replica().state().read().now();
    assert!(time.as_ms() < SystemClock.now().as_ms() + hour_ms / 2, "the replicated clock says {time}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_forwarding_goes_one_hop() {
    let cluster = Cluster::steady();
    let servers = cluster.servers(&["a", "b", "c"]).await;
    let first = leader(&servers).await;
    let (asked, asking) = (&servers[(first + 1) % 3], &servers[(first + 2) % 3]);
    let mut peer = ClusterClient::new(cluster.peer_channel(asked, asking.peer_id()));
    let command = |id: &str| Command {
        request_id: [9; 16],
        at: Timestamp::default(),
        actor: "test".to_owned(),
        kind: create(id),
    };
    let propose =
        |hops| ProposeRequest { command: codec::encode_commands(&[command("passed-on")]), timeout_ms: 5_000, hops };
    for hops in [0, 2, u32::MAX] {
        let refused = peer.propose(propose(hops)).await.expect_err("one hop is all");
        assert_eq!(refused.code(), Code::InvalidArgument, "{hops}: {refused}");
    }
    // A follower that is taken for the leader says so; it does not pass the write on.
    let answer = peer.propose(propose(1)).await.expect("an answer").into_inner();
    match answer.result {
        Some(propose_response::Result::Refused(refused)) => assert_eq!(refused.failure(), ProposeFailure::NotLeader),
        other => panic!("not refused: {other:?}"),
    }
    assert!(!servers.iter().any(|server| server.has("passed-on")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_a_certificate_of_the_cluster_is_not_a_membership() {
    let cluster = Cluster::default();
    let servers = cluster.servers(&["a", "b"]).await;
    let member = servers[1].peer_id();
    let strangers = [
        PeerId { storage_uuid: [9; 16], ..member },
        // Not known yet: only consensus may talk to it, and this is no message of consensus.
        PeerId { node_id: 99, ..member },
    ];
    for id in strangers {
        let mut peer = ClusterClient::new(cluster.peer_channel(&servers[0], id));
        let refused = peer.read_index(ReadIndexRequest { timeout_ms: 5_000 }).await.expect_err("a stranger");
        assert_eq!(refused.code(), Code::PermissionDenied, "{id}: {refused}");
    }
    // A member speaks for itself only, on streams as well.
    let mut peer = RaftClient::new(cluster.peer_channel(&servers[0], member));
    let vote = Some(Vote { term: 99, node_id: servers[0].peer_id().node_id, committed: true });
    let message = AppendEntriesRequest { vote, ..AppendEntriesRequest::default() };
    let mut answers = peer.stream_append(futures::stream::iter([message])).await.expect("a stream").into_inner();
    let refused = answers.message().await.expect_err("another's vote");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert_ne!(servers[0].replica().status().term, 99);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_a_stranger_is_turned_away_before_its_message_is_read() {
    let cluster = Cluster::default();
    let servers = cluster.servers(&["a"]).await;
    let channel = cluster.stranger_channel(&servers[0]);
    // Longer than any message may be: who read it would say that instead.
    let command = vec![0; MESSAGE_BYTES_MAX + 1];
    let peer = ClusterClient::new(channel.clone());
    // A founder has a certificate a moment after it has the authority for it, and no handshake succeeds before.
    let refused = until("a handshake", PATIENCE, async || {
        let request = ProposeRequest { command: command.clone(), timeout_ms: 1, hops: 1 };
        let refused = peer.clone().propose(request).await.expect_err("a stranger");
        if refused.code() == Code::Unavailable { Err(refused) } else { Ok(refused) }
    });
    let refused = refused.await.expect("an answer");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    let mut peer = RaftClient::new(channel);
    let refused = peer.append_entries(AppendEntriesRequest::default()).await.expect_err("a stranger");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_a_member_comes_back_under_another_address() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let moving = (leader(&servers).await + 1) % 3;
    let before: Vec<u64> = servers[0].replica().status().members.iter().map(|member| member.node_id).collect();
    servers[moving].kill().await;
    servers[moving].port = Port::reserve().expect("a free port");
    cluster.restart(&mut servers[moving]).await;
    let new = servers[moving].address();
    for server in &servers {
        server.until(|replica| replica.status().members.iter().any(|member| member.peer_address == new)).await;
    }
    servers[moving].write("from-elsewhere").await.expect("written");
    assert_equal(&servers).await;
    // It is the same member: a restart takes no voter out and puts none in.
    let status = servers[moving].replica().status();
    assert_eq!(status.members.iter().map(|member| member.node_id).collect::<Vec<_>>(), before);
    assert!(has_voters(servers[moving].replica(), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_concurrent_membership_changes_end_in_one_configuration() {
    let cluster = Cluster::default();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let first = leader(&servers).await;
    let victim = (first + 1) % 3;
    let (victim_id, address) = (servers[victim].replica().node_id(), [servers[first].address()]);
    let leading = servers[first].replica().clone();
    let (joined, removed) = tokio::join!(
        cluster.server("d", &address),
        leading.change_membership(Change::Remove(victim_id), Instant::now() + PATIENCE)
    );
    removed.expect("removed");
    servers[victim].kill().await;
    servers[victim] = joined.expect("it joins");
    for server in &servers {
        let settled = |replica: &Replica| {
            has_voters(replica, 3) && replica.status().members.iter().all(|member| member.node_id != victim_id)
        };
        server.until(settled).await;
    }
    servers[victim].write("settled").await.expect("written");
    assert_equal(&servers).await;
}

/// The certificates of the peer CA, as a replica knows them.
fn peer_ca(server: &Server) -> Vec<Vec<u8>> {
    let state = server.replica().state().read();
    let content = &state.peer_ca().expect("a peer CA").content;
    PeerCaContent::decode(content).expect("it decodes").certificates()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peer_ca_rotates_under_a_running_cluster() {
    let mut cluster = Cluster::default();
    cluster.timing.peer_ca_rotate_after = Duration::from_secs(5);
    cluster.timing.peer_ca_settle = Duration::from_millis(500);
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    let away = (leader(&servers).await + 1) % 3;
    servers[away].kill().await;
    // Nothing is retired behind the back of a member that is away.
    let first = peer_ca(&servers[(away + 1) % 3]);
    for number in 0..10 {
        servers[(away + 1) % 3].write(&format!("meanwhile-{number}")).await.expect("written");
    }
    cluster.restart(&mut servers[away]).await;
    let replaced = |server: &Server| {
        let now = peer_ca(server);
        now.len() == 1 && now.iter().all(|certificate| !first.contains(certificate))
    };
    for (number, server) in servers.iter().enumerate() {
        server.until(|_| replaced(server)).await;
        server.write(&format!("rotated-{number}")).await.expect("written");
    }
    // New connections come up under the new authority alone.
    for server in &mut servers {
        server.kill().await;
        cluster.restart(server).await;
    }
    servers[away].write("restarted").await.expect("written");
    assert_equal(&servers).await;
    // Who joins now never saw the first authority.
    let joined = cluster.server("d", &[servers[0].address()]).await.expect("it joins");
    joined.until(|replica| has_voters(replica, 4)).await;
}

/// Signs by naming itself.
struct Signer {
    node_id: u64,
    on_every_voter: bool,
}

#[tonic::async_trait]
impl SigningHandler for Signer {
    fn on_every_voter(&self) -> bool {
        self.on_every_voter
    }

    fn composers(&self) -> Vec<String> {
        Vec::new()
    }

    async fn sign(&self, items: Vec<SignItem>) -> Result<Vec<SignResult>, SignError> {
        let signed = |_| TokenSigned { token: self.node_id.to_string(), issued_at: 0, expires_at: 0 };
        Ok(items.into_iter().map(|item| SignResult { result: Some(sign_result::Result::Jwt(signed(item))) }).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_goes_to_the_leader() {
    let cluster = Cluster::steady();
    let mut servers = cluster.servers(&["a", "b", "c"]).await;
    for server in &servers {
        let node_id = server.replica().node_id();
        server.replica().set_signing_handler(Arc::new(Signer { node_id, on_every_voter: false }));
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

/// Signs nothing, for a reason.
struct Fenced;

#[tonic::async_trait]
impl SigningHandler for Fenced {
    fn on_every_voter(&self) -> bool {
        false
    }

    fn composers(&self) -> Vec<String> {
        Vec::new()
    }

    async fn sign(&self, _items: Vec<SignItem>) -> Result<Vec<SignResult>, SignError> {
        Err(SignError::Fenced { why: "the clock is wrong".to_owned() })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_sign_says_why() {
    let cluster = Cluster::default();
    let servers = cluster.servers(&["a"]).await;
    let replica = servers[0].replica();
    replica.set_signing_handler(Arc::new(Fenced));
    let tried = Instant::now() + Duration::from_millis(200);
    let refused = replica.forward_sign(vec![SignItem::default()], tried).await.expect_err("it does not sign");
    assert_eq!(refused.to_string(), "the clock is wrong; retry");
}

/// Has no room.
struct Full;

#[tonic::async_trait]
impl SigningHandler for Full {
    fn on_every_voter(&self) -> bool {
        false
    }

    fn composers(&self) -> Vec<String> {
        Vec::new()
    }

    async fn sign(&self, _items: Vec<SignItem>) -> Result<Vec<SignResult>, SignError> {
        Err(SignError::Busy { why: "no room".to_owned(), retry_after: Duration::from_secs(7) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_has_no_room_is_not_asked_again_and_says_when_to_come_back_on_every_replica() {
    let cluster = Cluster::steady();
    let servers = cluster.servers(&["a", "b", "c"]).await;
    for server in &servers {
        server.replica().set_signing_handler(Arc::new(Full));
    }
    for server in &servers {
        let replica = server.replica();
        let refused = replica.forward_sign(vec![SignItem::default()], Instant::now() + PATIENCE).await;
        let busy = SignError::Busy { why: "no room".to_owned(), retry_after: Duration::from_secs(7) };
        assert_eq!(refused.expect_err("there is no room"), busy);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_voters_sign_each_signs_its_own() {
    let cluster = Cluster::steady();
    let servers = cluster.servers(&["a", "b", "c"]).await;
    for server in &servers {
        let node_id = server.replica().node_id();
        server.replica().set_signing_handler(Arc::new(Signer { node_id, on_every_voter: true }));
    }
    for server in &servers {
        let replica = server.replica();
        let results = replica.forward_sign(vec![SignItem::default()], Instant::now() + PATIENCE).await.expect("signed");
        let Some(sign_result::Result::Jwt(signed)) = results[0].result.clone() else { panic!("not signed") };
        assert_eq!(signed.token, replica.node_id().to_string());
    }
}
