//! Clients that send more than anybody needs. Whatever they send, others are served, no replica loses its leader, and
//! memory has a bound.

use std::time::Duration;

use steeple_testkit::{
    Binaries, Cgroup, Cluster, ExtraLines, Flooded, Flooders, Process, Server, framed, http2, raw_call,
};
use steeple_transport::client::uds_channel;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::Code;

use crate::bench::{Bench, assert_unharmed, create, entries, spec};
use crate::wire::{H2, tls};

const FLOODED: Flooded = Flooded {
    answers: "/spire.api.server.bundle.v1.Bundle/GetBundle",
    waits: "/spire.api.server.agent.v1.Agent/AttestAgent",
    headers: &[],
};
/// Of each flood, to the TCP port and to the admin socket alike.
const FLOODERS: usize = 3;
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// An idle client is dropped after 10 s; this machine may be busy.
const DROPPED_MAX: Duration = Duration::from_secs(60);
const IDLE: usize = 600;
/// Of 4 MiB each; the admin socket has room for 8 of them.
const UNFINISHED: usize = 300;
const KEPT_MAX: usize = 8;
/// On top of what a debug build holds before the first flood. Each of a few dozen connections has buffers and a window
/// of 1 MiB.
const MEMORY_MIB_MAX: u64 = 256;
/// One message of 4 MiB, decoded and answered; less than 300 that are not.
const MESSAGE_MIB_MAX: u64 = 1024;
/// The kernel's word on the same: more than this and it ends the server.
const CGROUP_BYTES_MAX: u64 = 768 << 20;

#[tokio::test]
async fn floods_leave_others_served_the_leader_in_place_and_memory_bounded() {
    let bench = Bench::new();
    let limited = Cgroup::can_be_made("the kernel's limit of memory in the test of floods");
    let cgroup = limited.then(|| Cgroup::make("/floods").expect("a cgroup"));
    let binaries = Binaries { server: crate::bench::program(), agent: std::path::PathBuf::new() };
    // A busy machine is no reason for an election; consensus that is starved for seconds is.
    let steady = "election_timeout_min = \"5s\"\n election_timeout_max = \"8s\"\n".to_owned();
    let extra = ExtraLines { cluster: steady, ..ExtraLines::default() };
    let cluster = Cluster::start_with(&binaries, bench.scratch.path(), 3, &spec(""), &extra).await.expect("a cluster");
    let leader = &cluster.servers[cluster.leader().await.expect("a leader")];
    create(leader, "kept").await;
    let term = leader.admin().status().await.expect("a status").term;
    let process = leader.process().expect("it runs");
    if let Some(cgroup) = &cgroup {
        cgroup.hold(process.pid().unsigned_abs()).expect("the leader moves");
        cgroup.limit_memory(CGROUP_BYTES_MAX).expect("a limit");
    }
    let before = peak_mib(process);

    let mut flooders = Flooders::default();
    for _ in 0..FLOODERS {
        for flood in FLOODED.floods() {
            flooders.add(flood, tls(&leader.api_address(), None, H2).await.expect("a handshake"));
        }
        for flood in FLOODED.floods() {
            flooders.add(flood, UnixStream::connect(leader.admin_socket()).await.expect("the socket is open"));
        }
    }
    while flooders.going() > 0 {
        assert_serves(leader).await;
    }
    // Whoever hoards still does.
    assert_serves(leader).await;
    let grown = peak_mib(process) - before;
    println!("{before} MiB before, {grown} MiB more at the worst moment");
    assert!(grown <= MEMORY_MIB_MAX, "the server took {grown} MiB");
    for server in &cluster.servers {
        assert_eq!(server.admin().status().await.expect("a status").term, term, "{} has another leader", server.name());
    }
    drop(flooders);
    assert_unharmed(leader, &["kept"]).await;
}

/// A list, which asks a quorum, and a handshake of somebody new.
async fn assert_serves(server: &Server) {
    let list = tokio::time::timeout(ANSWER_MAX, entries(server)).await;
    assert_eq!(list.expect("the admin socket answers"), ["kept"]);
    let address = server.api_address();
    let handshake = tokio::time::timeout(ANSWER_MAX, tls(&address, None, H2)).await;
    handshake.expect("the API port answers").expect("a handshake");
}

#[tokio::test]
async fn idle_connections_are_dropped_and_bounded_in_memory() {
    let bench = Bench::new();
    let server = bench.server("server").await;
    create(&server, "kept").await;
    let process = server.process().expect("it runs");
    let before = peak_mib(process);
    let mut idle = JoinSet::new();
    for _ in 0..IDLE {
        let stream = tls(&server.api_address(), None, H2).await.expect("a handshake");
        idle.spawn(http2::heard(stream));
    }
    assert_serves(&server).await;
    let grown = peak_mib(process) - before;
    println!("{before} MiB before, {grown} MiB more with {IDLE} idle connections");
    assert!(grown <= MEMORY_MIB_MAX, "the server took {grown} MiB");
    let dropped = tokio::time::timeout(DROPPED_MAX, async { while idle.join_next().await.is_some() {} });
    dropped.await.expect("who says nothing is dropped");
    assert_unharmed(&server, &["kept"]).await;
}

#[tokio::test]
async fn a_message_of_empty_items_is_answered_and_takes_bounded_memory() {
    let bench = Bench::new();
    let server = bench.server("server").await;
    create(&server, "kept").await;
    let process = server.process().expect("it runs");
    let before = peak_mib(process);
    // Two bytes each on the wire, and a message just below the limit.
    assert_refuses(&server, (2 << 20) - 16).await;
    let grown = peak_mib(process) - before;
    println!("{before} MiB before, {grown} MiB more");
    assert!(grown <= MESSAGE_MIB_MAX, "the server took {grown} MiB");
    assert_unharmed(&server, &["kept"]).await;
}

/// A batch of empty entries, which is read and decoded before it is refused.
async fn assert_refuses(server: &Server, items: usize) {
    let path = "/spire.api.server.entry.v1.Entry/BatchCreateEntry";
    let body = framed(&[0x0a, 0x00].repeat(items));
    let call = raw_call(uds_channel(&server.admin_socket()), path, &[], body);
    let status = tokio::time::timeout(ANSWER_MAX, call).await.expect("an answer").expect("a status");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().ends_with("send at most 50000 in one call"), "{status}");
}

#[tokio::test]
async fn messages_that_never_end_take_bounded_memory_and_others_are_read() {
    let bench = Bench::new();
    let server = bench.server("server").await;
    create(&server, "kept").await;
    let process = server.process().expect("it runs");
    let before = peak_mib(process);
    let mut calls = FLOODED.unfinished(&uds_channel(&server.admin_socket()), UNFINISHED);
    while calls.len() > KEPT_MAX {
        let ended = tokio::time::timeout(ANSWER_MAX, calls.join_next()).await.expect("there is no room for it");
        let status = ended.expect("a call").expect("it does not panic").expect("a status");
        // In an attestation what comes of the stream is InvalidArgument (SPIRE behaviour), with the status in its text.
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("there is no room for so many unfinished request messages"), "{status}");
    }
    assert_refuses(&server, 1 << 20).await;
    assert_serves(&server).await;
    let grown = peak_mib(process) - before;
    println!("{before} MiB before, {grown} MiB more");
    assert!(grown <= MESSAGE_MIB_MAX, "the server took {grown} MiB");
    drop(calls);
    assert_unharmed(&server, &["kept"]).await;
}

fn peak_mib(process: &Process) -> u64 {
    process.peak_mib().expect("a peak")
}
