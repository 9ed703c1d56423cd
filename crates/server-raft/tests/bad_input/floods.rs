//! Clients that send more than anybody needs. Whatever they send, others are served, no replica loses its leader, and
//! memory has a bound.

use std::iter::{repeat_with, successors};
use std::time::Duration;

use steeple_testkit::{Binaries, Cgroup, Cluster, ExtraLines, Server};
use tokio::io::AsyncWrite;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::bench::{Bench, assert_unharmed, create, entries, spec};
use crate::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, call, flood, frame, heard, stream,
};
use crate::wire::{self, H2, tls};

/// Of each flood, to the TCP port and to the admin socket alike.
const FLOODERS: usize = 3;
/// More than a server takes of any flood before it ends the connection, or lets it wait.
const FRAMES: usize = 40_000;
/// A flooder whose bytes nobody takes any more has been stopped.
const STOPPED_AFTER: Duration = Duration::from_secs(10);
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// An idle client is dropped after 10 s; this machine may be busy.
const DROPPED_MAX: Duration = Duration::from_secs(60);
const IDLE: usize = 600;
/// On top of what a debug build holds before the first flood. Each of a few dozen connections has buffers and a window
/// of 1 MiB.
const MEMORY_MIB_MAX: u64 = 256;
/// One message of 4 MiB, decoded and answered.
const MESSAGE_MIB_MAX: u64 = 1024;
/// The kernel's word on the same: more than this and it ends the server.
const CGROUP_BYTES_MAX: u64 = 768 << 20;

type Frames = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// Each by its name in advisories or standards.
fn floods() -> Vec<(&'static str, Frames)> {
    let get_bundle = || call("/spire.api.server.bundle.v1.Bundle/GetBundle");
    let attest = || call("/spire.api.server.agent.v1.Agent/AttestAgent");
    let numbers = |count: usize| (0..).take(count).map(stream);
    let first = frame(HEADERS, 0, 1, &get_bundle());
    let endless = frame(HEADERS, END_HEADERS, 1, &attest());
    let filler = frame(CONTINUATION, 0, 1, &[0; 16 << 10]);
    // A header of 4,000 bytes that goes into the table, then a thousand references to it.
    let bomb = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4000], &[0xbe; 1000]].concat();
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    // A message of 4 MiB is announced, and never comes.
    let promised = [&[0, 0, 0x3f, 0xff, 0xff][..], &[0; 250]].concat();
    vec![
        (
            "rapid reset",
            Box::new(numbers(FRAMES).flat_map(move |stream| {
                let end = END_HEADERS | END_STREAM;
                [frame(HEADERS, end, stream, &get_bundle()), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
            })),
        ),
        ("continuation flood", Box::new(successors(Some(first.clone()), move |_| Some(filler.clone())).take(4_000))),
        (
            "empty continuations",
            Box::new(successors(Some(first), |_| Some(frame(CONTINUATION, 0, 1, &[]))).take(FRAMES)),
        ),
        ("empty data", Box::new(successors(Some(endless), |_| Some(frame(DATA, 0, 1, &[]))).take(FRAMES))),
        ("settings flood", Box::new(repeat_with(|| frame(SETTINGS, 0, 0, &[])).take(FRAMES))),
        ("ping flood", Box::new(repeat_with(|| frame(PING, 0, 0, &[7; 8])).take(FRAMES))),
        (
            "header bomb",
            Box::new(numbers(FRAMES / 40).map(move |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb))),
        ),
        (
            "hoarded windows",
            Box::new(std::iter::once(no_window).chain(numbers(250).flat_map(move |stream| {
                let get_bundle = call("/spire.api.server.bundle.v1.Bundle/GetBundle");
                [frame(HEADERS, END_HEADERS, stream, &get_bundle), frame(DATA, END_STREAM, stream, &[0; 5])]
            }))),
        ),
        (
            "messages that do not end",
            Box::new(numbers(200).flat_map(move |stream| {
                [frame(HEADERS, END_HEADERS, stream, &attest()), frame(DATA, 0, stream, &promised)]
            })),
        ),
    ]
}

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
    let pid = leader.process().expect("it runs").pid();
    if let Some(cgroup) = &cgroup {
        cgroup.hold(pid.unsigned_abs()).expect("the leader moves");
        cgroup.limit_memory(CGROUP_BYTES_MAX).expect("a limit");
    }
    let before = peak_mib(pid);

    let (over, mut flooders) = (watch::Sender::new(()), JoinSet::new());
    let (tell, mut stopped) = mpsc::unbounded_channel();
    for _ in 0..FLOODERS {
        for (name, frames) in floods() {
            let stream = tls(&leader.api_address(), None, H2).await.expect("a handshake");
            flooders.spawn(flooder(name, stream, frames, tell.clone(), over.subscribe()));
        }
        for (name, frames) in floods() {
            let stream = UnixStream::connect(leader.admin_socket()).await.expect("the socket is open");
            flooders.spawn(flooder(name, stream, frames, tell.clone(), over.subscribe()));
        }
    }
    let mut going = flooders.len();
    while going > 0 {
        assert_serves(leader).await;
        while let Ok((name, how)) = stopped.try_recv() {
            println!("{name}: {how:?}");
            going -= 1;
        }
    }
    // Whoever hoards still does.
    assert_serves(leader).await;
    let grown = peak_mib(pid) - before;
    println!("{before} MiB before, {grown} MiB more at the worst moment");
    assert!(grown <= MEMORY_MIB_MAX, "the server took {grown} MiB");
    for server in &cluster.servers {
        assert_eq!(server.admin().status().await.expect("a status").term, term, "{} has another leader", server.name());
    }
    drop(over);
    while let Some(ended) = flooders.join_next().await {
        ended.expect("it does not panic");
    }
    assert_unharmed(leader, &["kept"]).await;
}

/// What became of a flood.
#[derive(Clone, Copy, Debug)]
enum Stopped {
    /// The server took all of it.
    Taken,
    /// The server ended the connection after so many bytes.
    #[expect(dead_code, reason = "it is printed")]
    Ended(usize),
    /// The server takes no more before it is read itself.
    Waiting,
}

/// Floods, tells how that ended, and keeps what it holds of the server until it is over.
async fn flooder(
    name: &'static str,
    mut stream: impl AsyncWrite + Unpin + Send + 'static,
    frames: Frames,
    tell: mpsc::UnboundedSender<(&'static str, Stopped)>,
    mut over: watch::Receiver<()>,
) {
    let how = match tokio::time::timeout(STOPPED_AFTER, flood(&mut stream, frames)).await {
        Ok((_, true)) => Stopped::Taken,
        Ok((bytes, false)) => Stopped::Ended(bytes),
        Err(_) => Stopped::Waiting,
    };
    let _ = tell.send((name, how));
    let _ = over.changed().await;
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
    let pid = server.process().expect("it runs").pid();
    let before = peak_mib(pid);
    let mut idle = JoinSet::new();
    for _ in 0..IDLE {
        let stream = tls(&server.api_address(), None, H2).await.expect("a handshake");
        idle.spawn(heard(stream));
    }
    assert_serves(&server).await;
    let grown = peak_mib(pid) - before;
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
    let pid = server.process().expect("it runs").pid();
    let before = peak_mib(pid);
    // Two bytes each on the wire, and a message just below the limit.
    let items = [0x0a, 0x00].repeat((2 << 20) - 16);
    let length = u32::try_from(items.len()).expect("4 MiB").to_be_bytes();
    let body = [&[0][..], &length, &items].concat();
    let path = "/spire.api.server.entry.v1.Entry/BatchCreateEntry";
    let outcome = tokio::time::timeout(ANSWER_MAX, wire::call(&server, path, "identity", body.into())).await;
    let status = outcome.expect("an answer");
    assert!(status.message().ends_with("send at most 50000 in one call"), "{status}");
    let grown = peak_mib(pid) - before;
    println!("{before} MiB before, {grown} MiB more");
    assert!(grown <= MESSAGE_MIB_MAX, "the server took {grown} MiB");
    assert_unharmed(&server, &["kept"]).await;
}

/// The most that a process ever had in memory.
fn peak_mib(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024
}
