//! Local processes that send an agent more than anybody needs, at each of its sockets. Others are served, and memory
//! has a bound.

use std::path::Path;
use std::time::Duration;

use steeple_api::agent::debug::GetInfoRequest;
use steeple_api::agent::debug::debug_client::DebugClient;
use steeple_api::envoy::discovery::DiscoveryRequest;
use steeple_api::envoy::sds::secret_discovery_service_client::SecretDiscoveryServiceClient;
use steeple_testkit::{
    Agent, Cgroup, Flooded, Flooders, WorkloadStream, http2, own_uid_selector, until, workload_entry,
};
use steeple_transport::client::uds_channel;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::Code;

use crate::site::{DROPPED_MAX, EVENT_MAX, World};

const WORKLOAD_API: Flooded = Flooded {
    answers: "/SpiffeWorkloadAPI/FetchX509SVID",
    waits: "/SpiffeWorkloadAPI/FetchJWTSVID",
    headers: &[("workload.spiffe.io", "true")],
};
const SDS: Flooded = Flooded {
    answers: "/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets",
    waits: "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
    headers: &[],
};
const ADMIN: Flooded = Flooded {
    answers: "/spire.agent.debug.v1.Debug/GetInfo",
    waits: "/spire.api.agent.delegatedidentity.v1.DelegatedIdentity/SubscribeToX509SVIDs",
    headers: &[],
};
/// Of each flood, with each of the APIs.
const FLOODERS: usize = 2;
const ANSWER_MAX: Duration = Duration::from_secs(60);
const IDLE: usize = 600;
/// More than the socket has places for.
const IDLE_ADMIN: usize = 100;
/// Of 4 MiB each; there is room for 8 of them.
const UNFINISHED: usize = 64;
const KEPT_MAX: usize = 8;
/// On top of what a debug build holds before. Each of a few dozen connections has buffers and a window of 1 MiB.
const MEMORY_MIB_MAX: u64 = 256;
/// The kernel's word on the same: more than this and it ends the agent.
const CGROUP_BYTES_MAX: u64 = 512 << 20;

/// An agent under a limit of memory where one can be made, with a workload that holds its stream open.
struct Bench {
    // Ends before its cgroup is removed.
    agent: Agent,
    stream: WorkloadStream,
    world: World,
    before_mib: u64,
    _cgroup: Option<Cgroup>,
}

impl Bench {
    async fn new() -> Self {
        let world = World::new().await;
        let mut agent = world.agent("agent", &world.token().await, &world.bundle);
        agent.ready().await.expect("the agent attests");
        let stream = world.serve_own_uid("/kept", &agent).await;
        let limited = Cgroup::can_be_made("the kernel's limit of memory in the test of floods of agents");
        let cgroup = limited.then(|| Cgroup::make("/floods").expect("a cgroup"));
        if let Some(cgroup) = &cgroup {
            cgroup.hold(agent.process().pid().unsigned_abs()).expect("the agent moves");
            cgroup.limit_memory(CGROUP_BYTES_MAX).expect("a limit");
        }
        let before_mib = agent.process().peak_mib().expect("a peak");
        Self { agent, stream, world, before_mib, _cgroup: cgroup }
    }

    fn sockets(&self) -> [(Flooded, std::path::PathBuf); 3] {
        let (workloads, admin) = (self.agent.socket(), self.world.admin_socket("agent"));
        [(WORKLOAD_API, workloads.clone()), (SDS, workloads), (ADMIN, admin)]
    }

    /// A workload, an Envoy and an administrator, each on a connection of its own.
    async fn assert_serves(&self) {
        let in_time = tokio::time::timeout(ANSWER_MAX, async {
            let mut stream = WorkloadStream::open(&self.agent.socket()).await.expect("a stream");
            let update = stream.next().await.expect("an update");
            assert_eq!(update.svids[0].spiffe_id, "spiffe://example.org/kept");
            let mut envoy = SecretDiscoveryServiceClient::new(uds_channel(&self.agent.socket()));
            let secrets = envoy.fetch_secrets(DiscoveryRequest::default()).await.expect("an answer");
            assert!(!secrets.into_inner().resources.is_empty());
            assert_administers(&self.world.admin_socket("agent")).await;
        });
        in_time.await.expect("everybody is served");
    }

    /// What came over the socket is over, the old stream lives, and what is new arrives on it.
    async fn end(mut self) {
        let grown = self.agent.process().peak_mib().expect("a peak") - self.before_mib;
        println!("{} MiB before, {grown} MiB more at the worst moment", self.before_mib);
        assert!(grown <= MEMORY_MIB_MAX, "the agent took {grown} MiB");
        let admin = self.world.server.admin();
        let parent = admin.agent_ids("join_token").await.expect("a list").remove(0);
        admin.create_entry(workload_entry("", &parent, "/new", vec![own_uid_selector()])).await.expect("an entry");
        self.stream.wait_for("spiffe://example.org/new", EVENT_MAX).await.expect("an update on the old stream");
        self.agent.stop().await.expect("it stops");
    }
}

async fn assert_administers(socket: &Path) {
    // A place may have to come back first.
    let answer = until("the admin socket answers", ANSWER_MAX, async || {
        DebugClient::new(uds_channel(socket)).get_info(GetInfoRequest {}).await
    });
    assert!(!answer.await.expect("an answer").into_inner().svid_chain.is_empty());
}

#[tokio::test]
async fn floods_leave_workloads_served_and_an_agents_memory_bounded() {
    let bench = Bench::new().await;
    let mut flooders = Flooders::default();
    for _ in 0..FLOODERS {
        for (flooded, socket) in bench.sockets() {
            for flood in flooded.floods() {
                flooders.add(flood, UnixStream::connect(&socket).await.expect("the socket is open"));
            }
        }
    }
    while flooders.going() > 0 {
        bench.assert_serves().await;
    }
    // Whoever hoards still does.
    bench.assert_serves().await;
    drop(flooders);
    bench.end().await;
}

#[tokio::test]
async fn messages_that_never_end_take_bounded_memory_of_an_agent() {
    let bench = Bench::new().await;
    for (flooded, socket) in bench.sockets() {
        let mut calls = flooded.unfinished(&uds_channel(&socket), UNFINISHED);
        while calls.len() > KEPT_MAX {
            let ended = tokio::time::timeout(ANSWER_MAX, calls.join_next()).await.expect("there is no room for it");
            let status = ended.expect("a call").expect("it does not panic").expect("a status");
            assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        }
        bench.assert_serves().await;
    }
    bench.end().await;
}

/// One half says nothing, the other begins to speak HTTP/2.
#[tokio::test]
async fn idle_connections_to_an_agent_are_dropped_and_bounded_in_memory() {
    let bench = Bench::new().await;
    let (workloads, admin) = (bench.agent.socket(), bench.world.admin_socket("agent"));
    let mut idle = JoinSet::new();
    for (socket, count) in [(workloads, IDLE), (admin, IDLE_ADMIN)] {
        for number in 0..count {
            let mut stream = UnixStream::connect(&socket).await.expect("the socket is open");
            if number % 2 == 1 {
                // Where no place is left it is closed already.
                let _ = stream.write_all(b"PRI * HTTP/2").await;
            }
            idle.spawn(http2::heard(stream));
        }
    }
    bench.assert_serves().await;
    let dropped = tokio::time::timeout(DROPPED_MAX, async { while idle.join_next().await.is_some() {} });
    dropped.await.expect("who says nothing is dropped");
    bench.end().await;
}
