//! Replicas in one process, each with its own threads, disk and loopback socket.
#![allow(dead_code)] // Each test binary uses a part of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use steeple_ca::seal::SealingKey;
use steeple_core::{Clock, Entry, Selector, SelectorSet, SystemClock, Timestamp, TrustDomain};
use steeple_server_raft::peer::{
    JoinProgress, Lane, PeerCaContent, PeerCredentials, PeerId, PeerListener, PeerPool, PeerTarget, Tcp,
};
use steeple_server_raft::raft::{
    CleanUp, ClusterStart, Limits, Origin, ProposeError, ReadMode, Replica, Role, Start, StartError, Timing,
    open_keyring, start,
};
use steeple_server_raft::seal::KeyInUse;
use steeple_server_raft::surroundings::Surroundings;
use steeple_state::{CLUSTER_VERSION_MAX, CommandKind, EntryCreation, Outcome, RequestId, Table};
use steeple_storage::{Batch, Options, Row, Storage};
use steeple_testkit::Port;
use tempfile::TempDir;
use tokio::time::Instant;

/// Everything that waits for an event gives up after this; no test relies on how long anything takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The operating system's clock, set wrong by as much as a test likes.
#[derive(Default)]
pub struct WrongClock {
    pub ahead_ms: AtomicI64,
}

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(SystemClock.now().as_ms() + self.ahead_ms.load(Ordering::SeqCst))
    }
}

/// A server of the test cluster: a disk, a clock and an address, running or not.
pub struct Server {
    pub name: &'static str,
    pub clock: Arc<WrongClock>,
    pub directory: TempDir,
    /// Of the peer port; nobody else takes it while the server is down.
    pub port: Port,
    pub replica: Option<Replica>,
}

/// What all servers of one cluster have in common.
pub struct Cluster {
    pub key: Arc<SealingKey>,
    pub limits: Limits,
    pub timing: Timing,
    pub clean_up: Option<CleanUp>,
}

impl Default for Cluster {
    fn default() -> Self {
        let key = SealingKey::generate(&SystemRandom::new()).expect("randomness");
        // Slower than the product's defaults: tests share two cores with whatever else is being built.
        let timing = Timing {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(1000),
            silent_after: Duration::from_millis(2500),
            promote_after: Duration::ZERO,
            ..Timing::default()
        };
        Self { key: Arc::new(key), limits: Limits::default(), timing, clean_up: None }
    }
}

impl Cluster {
    /// For tests that name the leader: it stays, however busy the machine, until something takes leadership from it.
    pub fn steady() -> Self {
        let mut cluster = Self::default();
        cluster.timing.election_min = Duration::from_secs(5);
        cluster.timing.election_max = Duration::from_secs(8);
        cluster
    }

    /// Founds a cluster of one, and lets the others join it.
    pub async fn servers(&self, names: &[&'static str]) -> Vec<Server> {
        let mut servers: Vec<Server> = Vec::new();
        for name in names {
            let join: Vec<String> = servers.iter().map(Server::address).collect();
            servers.push(self.server(name, &join).await.expect("the server starts"));
        }
        let voters = names.len();
        for server in &servers {
            server.until(|replica| has_voters(replica, voters)).await;
        }
        servers
    }

    pub async fn server(&self, name: &'static str, join: &[String]) -> Result<Server, StartError> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = Port::reserve().expect("a free port");
        let clock = Arc::new(WrongClock::default());
        let replica = start(self.parts(name, &clock, directory.path(), &port, join)).await?;
        Ok(Server { name, clock, directory, port, replica: Some(replica) })
    }

    /// Starts a stopped server again, on the disk and address that it had.
    pub async fn restart(&self, server: &mut Server) {
        self.start_again(server).await.expect("the server starts again");
    }

    pub async fn start_again(&self, server: &mut Server) -> Result<(), StartError> {
        let parts = self.parts(server.name, &server.clock, server.directory.path(), &server.port, &[]);
        server.replica = Some(start(parts).await?);
        Ok(())
    }

    /// A way to the peer port of `server` for whoever has a certificate of this cluster under `id`.
    pub fn peer_channel(&self, server: &Server, id: PeerId) -> tonic::transport::Channel {
        let replica = server.replica();
        let credentials = PeerCredentials::new(id, Arc::new(SystemClock));
        {
            let state = replica.state().read();
            let keyring = open_keyring(&state, &self.key).expect("the key opens it").expect("a keyring");
            let content = PeerCaContent::decode(&state.peer_ca().expect("a peer CA").content).expect("it decodes");
            credentials.trust(&content.certificates()).expect("its certificates");
            credentials.renew(&content.open(&keyring).expect("its key")).expect("a certificate");
        }
        channel_with(server, credentials)
    }

    /// A way to the peer port of `server` without a certificate.
    pub fn stranger_channel(&self, server: &Server) -> tonic::transport::Channel {
        let replica = server.replica();
        let credentials = PeerCredentials::new(server.peer_id(), Arc::new(SystemClock));
        let state = replica.state().read();
        let content = PeerCaContent::decode(&state.peer_ca().expect("a peer CA").content).expect("it decodes");
        credentials.trust(&content.certificates()).expect("its certificates");
        channel_with(server, credentials)
    }

    fn parts(&self, name: &str, clock: &Arc<WrongClock>, directory: &Path, port: &Port, join: &[String]) -> Start {
        let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
        Start {
            storage: Storage::open(directory, Options::default()).expect("a store"),
            trust_domain: TrustDomain::from_name("example.org").expect("a name"),
            sealing_key: KeyInUse::open(Arc::clone(&self.key), Path::new("sealing-key")),
            surroundings: Surroundings { clock: Arc::clone(clock) as Arc<dyn Clock>, ..Surroundings::real() },
            timing: self.timing,
            limits: self.limits,
            clean_up: self.clean_up,
            api_address: String::new(),
            cluster: Some(ClusterStart {
                name: name.to_owned(),
                listener: PeerListener::bind(&Tcp, address).expect("the port is free"),
                advertise: port.address(),
                join: join.to_vec(),
                bootstrap: join.is_empty(),
                progress: JoinProgress::default(),
            }),
        }
    }
}

fn channel_with(server: &Server, credentials: PeerCredentials) -> tonic::transport::Channel {
    let replica = server.replica();
    let target =
        PeerTarget { node_id: replica.node_id(), address: server.address(), storage_uuid: replica.storage_uuid() };
    let pool = PeerPool::new(credentials, Arc::new(Tcp), tokio::runtime::Handle::current());
    pool.channel(&target, Lane::Requests).expect("a channel")
}

impl Server {
    pub fn replica(&self) -> &Replica {
        self.replica.as_ref().expect("the server runs")
    }

    /// `host:port` of the peer port.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// As a crash: nobody is told.
    pub async fn kill(&mut self) {
        self.replica.take().expect("the server runs").halt().await;
    }

    /// Waits until `reached`, looking whenever something was applied, and now and then for what is no entry.
    pub async fn until(&self, reached: impl Fn(&Replica) -> bool) {
        let replica = self.replica();
        let mut applied = replica.applied();
        let wait = async {
            while !reached(replica) {
                let _ = tokio::time::timeout(Duration::from_millis(100), applied.changed()).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{} waited in vain: {:#?}", self.name, replica.status());
    }

    /// What its certificate says.
    pub fn peer_id(&self) -> PeerId {
        let replica = self.replica();
        let cluster_uuid = replica.status().cluster_uuid.expect("a cluster");
        PeerId { cluster_uuid, node_id: replica.node_id(), storage_uuid: replica.storage_uuid() }
    }

    pub async fn until_leader(&self) -> u64 {
        let mut leadership = self.replica().leadership();
        let known = tokio::time::timeout(PATIENCE, leadership.wait_for(|now| now.leader.is_some())).await;
        known.expect("a leader in time").expect("the replica runs").leader.expect("just seen")
    }

    pub async fn write(&self, id: &str) -> Result<Outcome, ProposeError> {
        self.replica().propose(create(id), origin()).await
    }

    pub fn has(&self, id: &str) -> bool {
        self.replica().state().read().entry(id).is_some()
    }
}

impl Drop for Server {
    /// The store is closed when this returns. RocksDB's own statics go when the process ends, and a store that is still
    /// open then takes the process down.
    fn drop(&mut self) {
        let Some(replica) = self.replica.take() else { return };
        // A runtime cannot be waited for from within another one.
        let halted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(replica.halt());
        });
        let _ = halted.join();
    }
}

/// The running server that leads, as `of` knows it.
pub async fn leader(servers: &[Server]) -> usize {
    let any = servers.iter().find(|server| server.replica.is_some()).expect("a running server");
    let mut leadership = any.replica().leadership();
    let position = |id| servers.iter().position(|server| server.replica.as_ref().is_some_and(|r| r.node_id() == id));
    let wait = leadership.wait_for(|now| now.leader.and_then(position).is_some());
    let now = tokio::time::timeout(PATIENCE, wait).await.expect("a leader in time");
    now.expect("the replica runs").leader.and_then(position).expect("just seen")
}

/// Waits until all running servers have applied the same entries, and compares their states.
pub async fn assert_equal(servers: &[Server]) {
    let running: Vec<&Server> = servers.iter().filter(|server| server.replica.is_some()).collect();
    let through = running[0].replica();
    let view = through.read(ReadMode::Linearizable, Instant::now() + PATIENCE).await.expect("a leader");
    let mut hashes = Vec::new();
    for server in running {
        server.until(|replica| replica.state_hash().0 >= view.index).await;
        hashes.push((server.name, server.replica().state_hash()));
    }
    assert!(hashes.iter().all(|(_, hash)| *hash == hashes[0].1), "{hashes:#?}");
}

/// Whether the membership consists of this many voters, and nothing is being changed.
pub fn has_voters(replica: &Replica, voters: usize) -> bool {
    !replica.status().changing && count(replica, |role| role != Role::Learner) == voters
}

pub fn count(replica: &Replica, role: impl Fn(Role) -> bool) -> usize {
    replica.status().members.iter().filter(|member| role(member.role)).count()
}

/// Silence is no event, so this looks again and again.
pub async fn until_unreachable(replica: &Replica, node_id: u64) {
    let reachable = || replica.status().members.iter().any(|member| member.node_id == node_id && member.reachable);
    let wait = async {
        while reachable() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it falls silent");
}

/// Rewrites the row of the cluster's facts, whose last field is the cluster version: a tag and a value below 128.
pub fn rewrite_version(directory: &Path, version: Option<u8>) {
    let storage = Storage::open(directory, Options::default()).expect("a store");
    let rows = storage.kv();
    let table = Table::Cluster.number();
    let row = {
        let view = rows.view().expect("its rows");
        view.rows().map(|row| row.expect("a row")).find(|row| row.table == table).expect("the cluster's facts")
    };
    let Row { key, mut value, .. } = row;
    assert_eq!(value.split_off(value.len() - 2), [0x20, CLUSTER_VERSION_MAX as u8]);
    value.extend(version.map(|version| [0x20, version]).into_iter().flatten());
    let mut batch = Batch::new();
    batch.put(table, &key, &value).expect("a row");
    rows.write(batch).expect("written");
}

pub fn origin() -> Origin {
    origin_for(uuid::Uuid::new_v4().into_bytes(), PATIENCE)
}

pub fn origin_for(request_id: RequestId, timeout: Duration) -> Origin {
    Origin { actor: "test".to_owned(), request_id, deadline: Instant::now() + timeout }
}

pub fn create(id: &str) -> CommandKind {
    let trust_domain = TrustDomain::from_name("example.org").expect("a name");
    let selector = Selector::new("unix", format!("uid:{id}")).expect("a selector");
    let entry = Entry {
        id: id.to_owned(),
        spiffe_id: trust_domain.member(&format!("/workload/{id}")).expect("a path"),
        parent_id: trust_domain.member("/parent").expect("a path"),
        selectors: SelectorSet::from_iter([selector]),
        x509_svid_ttl: 0,
        jwt_svid_ttl: 0,
        federates_with: Vec::new(),
        admin: false,
        downstream: false,
        expires_at: 0,
        dns_names: Vec::new(),
        revision: 0,
        store_svid: false,
        hint: String::new(),
        created_at: 0,
        disable_x509_svid_prefetch: false,
        jwt_svid_include_jti: false,
    };
    CommandKind::CreateEntries { entries: vec![Arc::new(entry)] }
}

pub fn is_created(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::EntriesCreated(results) if matches!(results.as_slice(), [EntryCreation::Created(_)]))
}
