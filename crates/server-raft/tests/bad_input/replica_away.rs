//! A cluster of processes with replicas missing: what its clients and its log say.

use std::time::Duration;

use steeple_api::server::bundle::ListFederatedBundlesRequest;
use steeple_api::server::entry::{CountEntriesRequest, ListEntriesRequest};
use steeple_testkit::{Binaries, Cluster, ClusterRole, ExtraLines, Server, ServerSpec, probe, until};
use tonic::{Code, Request};

use crate::bench::{Bench, create, entries, entry, health_on, metrics_on, spec};

/// Longer than any election here.
const SETTLED_MAX: Duration = Duration::from_secs(60);
/// After which a client asks again.
const CALL: Duration = Duration::from_secs(3);

pub async fn three(bench: &Bench) -> Cluster {
    let binaries = Binaries { server: env!("CARGO_BIN_EXE_steeple-server").into(), agent: std::path::PathBuf::new() };
    Cluster::start(&binaries, bench.scratch.path(), 3, &spec("")).await.expect("three replicas")
}

/// Lines of the log of `server` with `text`.
pub fn lines(cluster: &Cluster, position: usize, text: &str) -> Vec<String> {
    let log = std::fs::read_to_string(cluster.servers[position].log()).expect("a log");
    log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_replica_that_goes_away_is_told_of_once() {
    let bench = Bench::new();
    let mut cluster = three(&bench).await;
    let leader = cluster.leader().await.expect("a leader");
    let away = cluster.follower().await.expect("a follower");
    // On a busy machine the third one may be silent for a while too.
    let third = (0..3).find(|position| ![leader, away].contains(position)).expect("a third one");
    let third = cluster.servers[third].peer_address();
    let said = |cluster: &Cluster, text: &str| {
        let mut lines = lines(cluster, leader, text);
        lines.retain(|line| !line.contains(&third));
        lines
    };
    let before = said(&cluster, "level=warning").len();
    cluster.servers[away].kill9().await.expect("it ends");
    until("the leader says so", SETTLED_MAX, async || match said(&cluster, "a replica does not answer").len() {
        0 => Err("not yet"),
        _ => Ok(()),
    })
    .await
    .expect("a warning");
    // The library below would have warned at each of these, and at every heartbeat.
    for number in 0..20 {
        create(&cluster.servers[leader], &format!("entry-{number}")).await;
    }
    assert_eq!(said(&cluster, "a replica does not answer").len(), 1);
    let warnings = said(&cluster, "level=warning");
    assert!(warnings.len() - before <= 2, "{before} before one replica went: {warnings:#?}");

    cluster.servers[away].launch().expect("it starts");
    until("the leader says so", SETTLED_MAX, async || match said(&cluster, "the replica answers again").len() {
        0 => Err("not yet"),
        _ => Ok(()),
    })
    .await
    .expect("a line");
    assert_eq!(said(&cluster, "the replica answers again").len(), 1);
}

#[tokio::test]
async fn during_an_election_lists_are_unavailable_and_never_short() {
    let bench = Bench::new();
    let mut cluster = three(&bench).await;
    let ids: Vec<String> = (0..20).map(|number| format!("entry-{number:02}")).collect();
    for id in &ids {
        // Through a follower, and there at once: the same socket.
        let follower = cluster.follower().await.expect("a follower");
        create(&cluster.servers[follower], id).await;
        assert!(entries(&cluster.servers[follower]).await.contains(id), "a write is not seen by its own writer");
    }
    let leader = cluster.leader().await.expect("a leader");
    let others: Vec<usize> = (0..3).filter(|position| *position != leader).collect();
    cluster.servers[leader].kill9().await.expect("it ends");
    // One of the others cannot answer either: no election can succeed.
    cluster.servers[others[0]].process().expect("it runs").pause();
    let asked = &cluster.servers[others[1]];
    let admin = asked.admin();
    let (mut entries, mut counted, mut bundles) = (admin.entries(), admin.entries(), admin.bundles());
    let (list, count, listed, foreign, own, info) = tokio::join!(
        entries.list_entries(ListEntriesRequest::default()),
        counted.count_entries(CountEntriesRequest::default()),
        bundles.list_federated_bundles(ListFederatedBundlesRequest::default()),
        admin.federated_bundle("other.test"),
        admin.bundle(),
        admin.info(),
    );
    let answers = [list.map(drop), count.map(drop), listed.map(drop), foreign.map(drop), own.map(drop), info.map(drop)];
    let codes = answers.map(|answer| answer.map_err(|status| status.code()));
    assert_eq!(codes, [Err(Code::Unavailable); 6]);

    cluster.servers[others[0]].process().expect("it runs").resume();
    let whole = until("a whole list", SETTLED_MAX, async || {
        let mut request = Request::new(ListEntriesRequest::default());
        request.set_timeout(CALL);
        match asked.admin().entries().list_entries(request).await {
            Ok(list) => Ok(list.into_inner().entries.len()),
            Err(status) => Err(status),
        }
    });
    assert_eq!(whole.await.expect("they elect a leader"), ids.len(), "the first list that is given is whole");
}

#[tokio::test]
async fn live_needs_nobody_else_and_ready_needs_a_leader_that_answers() {
    let bench = Bench::new();
    let role = |join| ClusterRole { join, sealing_key_path: bench.scratch.join("cluster.key") };
    let mut founder = bench.launch(&ServerSpec { cluster: Some(role(Vec::new())), ..spec("founder") });
    founder.ready().await.expect("the founder becomes ready");

    // Nobody admits the other one yet.
    founder.process().expect("it runs").pause();
    let (port, metrics) = (bench.port(), bench.port());
    let extra = ExtraLines { top: health_on(port) + &metrics_on(metrics), ..ExtraLines::default() };
    let binaries = Binaries { server: env!("CARGO_BIN_EXE_steeple-server").into(), agent: std::path::PathBuf::new() };
    let other = ServerSpec { cluster: Some(role(vec![founder.peer_address()])), ..spec("other") };
    let mut other = Server::start_with(&binaries, bench.scratch.path(), &other, &extra).expect("it starts");
    until_probes_say(port, (200, 500)).await;
    // It cannot join before the founder goes on, below.
    let asked = tokio::time::timeout(SETTLED_MAX, other.admin().status()).await.expect("an operator need not wait");
    asked.expect_err("it cannot serve yet");
    let (_, scraped) = probe(metrics, "/metrics").await.expect("metrics are there before it joins");
    assert!(scraped.contains("spire_server_started"), "{scraped}");

    founder.process().expect("it runs").resume();
    other.ready().await.expect("it joins");
    until_probes_say(port, (200, 200)).await;

    founder.kill9().await.expect("it ends");
    until_probes_say(port, (200, 500)).await;
    assert_eq!(other.admin().status().await.expect("a status").leader_id, 0, "the dead one does not lead");
}

/// Waits until `/live` and `/ready` answer so.
async fn until_probes_say(port: u16, expected: (u16, u16)) {
    let said = until("the probes agree", SETTLED_MAX, async || {
        let answers = (probe(port, "/live").await, probe(port, "/ready").await);
        match &answers {
            (Some((live, _)), Some((ready, _))) if (*live, *ready) == expected => Ok(()),
            _ => Err(format!("{answers:?}")),
        }
    });
    said.await.expect("what a prober hears");
}

#[tokio::test]
async fn trap_a_leader_that_was_paused_reads_nothing_stale() {
    let bench = Bench::new();
    let cluster = three(&bench).await;
    for round in 0..3 {
        let old = cluster.leader().await.expect("a leader");
        let paused = cluster.servers[old].process().expect("it runs");
        paused.pause();
        let next = (0..3).find(|position| *position != old).expect("another one");
        let id = format!("behind-its-back-{round}");
        let written = until("another leader takes a write", SETTLED_MAX, async || {
            cluster.servers[next].admin().create_entry(entry(&id)).await.map_err(|error| format!("{error:#}"))
        });
        written.await.expect("two of three suffice");
        paused.resume();
        // It may believe for a moment that it leads; it must not answer from what it has.
        let answered = until("the old leader answers", SETTLED_MAX, async || {
            let mut request = Request::new(ListEntriesRequest::default());
            request.set_timeout(CALL);
            match cluster.servers[old].admin().entries().list_entries(request).await {
                Ok(list) => Ok(list.into_inner().entries),
                Err(status) if matches!(status.code(), Code::Unavailable | Code::Cancelled) => Err(status),
                Err(status) => panic!("{status}"),
            }
        });
        let entries = answered.await.expect("it follows");
        assert!(entries.iter().any(|entry| entry.id == id), "{id} is missing: a stale list");
    }
}
