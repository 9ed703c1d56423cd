//! The start of a replica: found a cluster, join one, or come back to one.

use std::net::SocketAddr;
use std::sync::Arc;

use steeple_api::steeple::peer::cluster_server::ClusterServer;
use steeple_api::steeple::peer::join_server::JoinServer;
use steeple_api::steeple::peer::raft_server::RaftServer;
use steeple_ca::seal::SealError;
use steeple_core::TrustDomain;
use steeple_state::{MemberFacts, Uuid};
use steeple_storage::{Identity, Kv, Storage};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

use super::admit::{Admission, JOIN_BYTES_MAX, JoinService};
use super::clock_guard::PeerClocks;
use super::config::{CleanUp, Limits, Timing};
use super::consensus::Consensus;
use super::disk_pace::{self, DiskPace};
use super::error::StartError;
use super::found::{Founding, announce, check_trust_domain, found};
use super::handler::Handler;
use super::health::Health;
use super::identity::{self, Membership, NODE_ID_FIRST, Origin};
use super::leadership::{self, Leadership};
use super::load_shed::{self, LoadShed};
use super::log_store::LogStore;
use super::members::Members;
use super::network::Network;
use super::pinger::{self, Reports};
use super::propose::{Proposer, Queue};
use super::published::Published;
use super::read::ReadIndexRounds;
use super::removed::{self, Removal};
use super::replica::{Inner, Replica};
use super::rpc::RaftService;
use super::runtime::RaftThreads;
use super::service::ClusterService;
use super::stamps::Stamps;
use super::state_machine::StateMachine;
use super::state_watch::{Comparison, compare};
use super::types::Raft;
use super::{credentials, membership, peer_ca_rotation, room};
use crate::peer::{
    AcknowledgementHandler, AuthorityError, JoinAnswer, JoinProgress, JoinRequest, MESSAGE_BYTES_MAX, PeerCredentials,
    PeerError, PeerGuard, PeerId, PeerListener, PeerPool, SigningHandler, certified, join,
};
use crate::seal::KeyInUse;
use crate::surroundings::Surroundings;

/// What a replica is made of.
pub struct Start {
    pub storage: Storage,
    pub trust_domain: TrustDomain,
    /// Sealed only if [`super::may_start_sealed`].
    pub sealing_key: KeyInUse,
    pub surroundings: Surroundings,
    pub timing: Timing,
    pub limits: Limits,
    /// None: members that are gone stay on the list until somebody removes them.
    pub clean_up: Option<CleanUp>,
    /// `host:port` of the SPIFFE API, for the list of members.
    pub api_address: String,
    /// None: a single server without a peer port, which founds a cluster of one.
    pub cluster: Option<ClusterStart>,
}

/// The cluster block of the configuration.
pub struct ClusterStart {
    /// Unique among living members; a member on an empty disk takes the place of the one that had its name.
    pub name: String,
    pub listener: PeerListener,
    /// `host:port` under which the others reach the listener.
    pub advertise: String,
    /// Peer ports of members, asked when this directory belongs to no cluster yet.
    pub join: Vec<String>,
    /// Found a cluster when this directory belongs to none. The caller knows that there is none already:
    /// [`crate::peer::nobody_serves`].
    pub bootstrap: bool,
    /// Told while a joiner waits.
    pub progress: JoinProgress,
}

/// The name of a server that has no cluster block.
const SINGLE_NAME: &str = "single";

/// Starts a replica. A joiner waits here until a member admits it; cancel by dropping the future.
///
/// When it returns, the replica votes, serves its peers and catches up; `read` in linearizable mode waits for the rest.
pub async fn start(start: Start) -> Result<Replica, StartError> {
    let threads = RaftThreads::start(start.surroundings.threads).map_err(StartError::Threads)?;
    let server_threads = Handle::current();
    let work = bring_up(start, threads.handle().clone(), server_threads);
    let parts = threads.run(work).await.unwrap_or_else(|error| Err(StartError::Raft(error.to_string())));
    match parts {
        Ok(parts) => Ok(Replica { inner: Arc::new(parts.into_inner(threads)) }),
        Err(error) => {
            // What has been started holds the store, which the next attempt needs.
            threads.stop().await;
            Err(error)
        }
    }
}

/// Everything of a replica but its threads.
struct Parts {
    consensus: Arc<Consensus>,
    queue: Queue,
    reads: super::read::ReadIndexQueue,
    rows: Kv,
    identity: Identity,
    signer: Arc<Handler<dyn SigningHandler>>,
    acknowledgements: Arc<Handler<dyn AcknowledgementHandler>>,
    storage_uuid: Uuid,
    peer_address: Option<SocketAddr>,
}

impl Parts {
    fn into_inner(self, threads: RaftThreads) -> Inner {
        let Self { consensus, queue, reads, rows, identity, signer, acknowledgements, storage_uuid, peer_address } =
            self;
        Inner { consensus, queue, reads, rows, identity, signer, acknowledgements, storage_uuid, peer_address, threads }
    }
}

/// Runs on the threads of the consensus, so that whatever it spawns lives there.
async fn bring_up(start: Start, threads: Handle, server_threads: Handle) -> Result<Parts, StartError> {
    let ids = start.storage.identity();
    let storage_uuid = identity::storage_uuid(&ids)?;
    let (machine, published) =
        StateMachine::open(&start.storage).map_err(|error| StartError::State(error.to_string()))?;
    let belongs = belong(&start, storage_uuid).await?;
    let Membership { cluster_uuid, node_id, .. } = belongs.membership;

    let facts = facts(&start, storage_uuid);
    let credentials = match &start.cluster {
        Some(_) => {
            let id = PeerId { cluster_uuid, node_id, storage_uuid };
            Some(show_credentials(id, &start, &published, belongs.answer).await?)
        }
        None => None,
    };
    let peers = credentials
        .clone()
        .map(|credentials| PeerPool::new(credentials, Arc::clone(&start.surroundings.peers), threads));

    let config =
        openraft::Config { enable_elect: !start.sealing_key.is_sealed(), ..start.timing.openraft(&start.limits)? };
    let config = Arc::new(config);
    let network = Network::new(node_id, peers.clone(), Arc::clone(&published));
    let raft = Raft::new(node_id, config, network, LogStore::new(start.storage.log()), machine).await;
    let raft = raft.map_err(|error| StartError::Raft(error.to_string()))?;

    let (leadership, leadership_watch) = watch::channel(Leadership::default());
    tokio::spawn(leadership::follow(raft.clone(), leadership));
    let consensus = Arc::new(Consensus {
        node_id,
        raft: raft.clone(),
        published: Arc::clone(&published),
        peers,
        leadership: leadership_watch,
        peer_clocks: PeerClocks::default(),
        stamps: Stamps::default(),
        reports: Reports::default(),
        health: Health::default(),
        removed: Removal::new(node_id),
        comparison: Comparison::new(identity::divergence(&ids, &cluster_uuid, node_id)?),
        sealing_key: start.sealing_key.clone(),
        disk_pace: DiskPace::default(),
        load: LoadShed::default(),
        out_of_room: Notify::new(),
        membership_change: tokio::sync::Mutex::default(),
        clock: Arc::clone(&start.surroundings.clock),
        timing: start.timing,
        limits: start.limits,
        clean_up: start.clean_up,
    });
    let (queue, proposer) = Proposer::new(Arc::clone(&consensus), start.storage.clone());
    tokio::spawn(proposer.run());
    tokio::spawn(room::watch(start.storage.clone(), Arc::clone(&consensus)));
    tokio::spawn(disk_pace::watch(start.storage.clone(), Arc::clone(&consensus)));
    tokio::spawn(load_shed::watch(Arc::clone(&consensus)));
    tokio::spawn(compare(start.storage.clone(), Arc::clone(&consensus), queue.clone(), cluster_uuid));
    let (reads, rounds) = ReadIndexRounds::new(Arc::clone(&consensus));
    tokio::spawn(rounds.run());
    let signer: Arc<Handler<dyn SigningHandler>> = Arc::default();
    let acknowledgements = Arc::default();

    let peer_address = match (start.cluster, credentials) {
        (Some(cluster), Some(credentials)) => {
            let address = cluster.listener.address();
            let members = Members { published: Arc::clone(&published), raft: raft.clone() };
            let us = PeerId { cluster_uuid, node_id, storage_uuid };
            tokio::spawn(removed::watch_own_log(Arc::clone(&consensus), members.clone(), us));
            let guard = PeerGuard::new(cluster_uuid, Arc::new(members));
            let admission = Admission::new(Arc::clone(&consensus), queue.clone());
            let admission = Arc::new(admission);
            let services = ClusterService {
                consensus: Arc::clone(&consensus),
                storage: start.storage.clone(),
                queue: queue.clone(),
                guard: guard.clone(),
                admission: Arc::clone(&admission),
                signer: Arc::clone(&signer),
                acknowledgements: Arc::clone(&acknowledgements),
                server_threads,
            };
            let raft_service = RaftService::new(Arc::clone(&consensus), start.storage.snapshots(), guard);
            serve_peers(cluster.listener, &credentials, raft_service, services, JoinService::new(admission))?;
            tokio::spawn(credentials::keep(credentials, Arc::clone(&consensus), start.storage.identity()));
            tokio::spawn(pinger::ping_peers(Arc::clone(&consensus), Arc::clone(&signer)));
            tokio::spawn(peer_ca_rotation::care(Arc::clone(&consensus), queue.clone()));
            Some(address)
        }
        _ => None,
    };
    tokio::spawn(membership::care(Arc::clone(&consensus), queue.clone()));
    if belongs.membership.is_founder() {
        let founding = Founding { cluster_uuid, trust_domain: &start.trust_domain, facts: &facts };
        found(&consensus, &queue, &founding).await?;
    }
    check_trust_domain(&consensus, &start.trust_domain)?;
    tokio::spawn(announce(Arc::clone(&consensus), queue.clone(), facts));
    let (rows, identity) = (start.storage.kv(), ids);
    Ok(Parts { consensus, queue, reads, rows, identity, signer, acknowledgements, storage_uuid, peer_address })
}

/// Which cluster this directory belongs to, and how it knows.
struct Belongs {
    membership: Membership,
    answer: Option<JoinAnswer>,
}

async fn belong(start: &Start, storage_uuid: Uuid) -> Result<Belongs, StartError> {
    let ids = start.storage.identity();
    if let Some(membership) = identity::membership(&ids)? {
        return Ok(Belongs { membership, answer: None });
    }
    let answer = match &start.cluster {
        None => None,
        Some(cluster) if cluster.bootstrap => None,
        Some(cluster) => Some(join(&join_request(start, cluster, storage_uuid)?).await.map_err(PeerError::Join)?),
    };
    let membership = match &answer {
        Some(answer) => {
            Membership { cluster_uuid: answer.cluster_uuid, node_id: answer.node_id, origin: Origin::Joined }
        }
        None => {
            let cluster_uuid = identity::new_uuid();
            tracing::info!(trust_domain = %start.trust_domain, "founding a cluster with a trust domain of its own");
            Membership { cluster_uuid, node_id: NODE_ID_FIRST, origin: Origin::Founded }
        }
    };
    identity::remember(&ids, &membership)?;
    Ok(Belongs { membership, answer })
}

fn join_request(start: &Start, cluster: &ClusterStart, storage_uuid: Uuid) -> Result<JoinRequest, PeerError> {
    Ok(JoinRequest {
        addresses: cluster.join.clone(),
        name: cluster.name.clone(),
        advertise: cluster.advertise.clone(),
        api_address: start.api_address.clone(),
        storage_uuid,
        trust_domain: start.trust_domain.clone(),
        sealing_key: start.sealing_key.first()?,
        clock: Arc::clone(&start.surroundings.clock),
        network: Arc::clone(&start.surroundings.peers),
        progress: cluster.progress.clone(),
    })
}

fn facts(start: &Start, storage_uuid: Uuid) -> MemberFacts {
    let (name, peer_address) = match &start.cluster {
        Some(cluster) => (cluster.name.clone(), cluster.advertise.clone()),
        None => (SINGLE_NAME.to_owned(), String::new()),
    };
    MemberFacts { storage_uuid, name, peer_address, api_address: start.api_address.clone() }
}

/// From the own state where that knows the peer CA, else from a member's answer. A founder has neither yet, and who has
/// not the right sealing key shows what it kept for that.
async fn show_credentials(
    id: PeerId,
    start: &Start,
    published: &Published,
    answer: Option<JoinAnswer>,
) -> Result<PeerCredentials, StartError> {
    let credentials = PeerCredentials::new(id, Arc::clone(&start.surroundings.clock));
    let ids = start.storage.identity();
    let renewed = match credentials::renew(&credentials, published, &start.sealing_key, &ids) {
        // It joined after the sealing key was replaced, and what it has of the log is from before.
        Err(PeerError::Authority(AuthorityError::Seal(SealError::WrongSealingKey { .. }))) if is_catching_up(&ids)? => {
            false
        }
        Err(error) => return answer_only(credentials, &ids, &start.sealing_key, error),
        Ok(renewed) => renewed.is_some(),
    };
    if renewed || identity::membership(&ids)?.is_some_and(|known| known.is_founder()) {
        return Ok(credentials);
    }
    // Joined, but stopped before the log arrived: the same question gets the same id again.
    let answer = match (answer, &start.cluster) {
        (Some(answer), _) => answer,
        (None, Some(cluster)) => {
            join(&join_request(start, cluster, id.storage_uuid)?).await.map_err(PeerError::Join)?
        }
        (None, None) => return Ok(credentials),
    };
    if (answer.cluster_uuid, answer.node_id) != (id.cluster_uuid, id.node_id) {
        return Err(StartError::State(
            "of this data directory is of another cluster; join with an empty data directory".to_owned(),
        ));
    }
    credentials.accept(&answer)?;
    Ok(credentials)
}

/// Whether this directory joined, and never opened a keyring since.
fn is_catching_up(ids: &Identity) -> Result<bool, StartError> {
    let joined = identity::membership(ids)?.is_some_and(|known| known.origin == Origin::Joined);
    Ok(joined && identity::answering(ids)?.is_none())
}

/// For want of the right sealing key, because of `error`.
fn answer_only(
    credentials: PeerCredentials,
    ids: &Identity,
    sealing_key: &KeyInUse,
    error: PeerError,
) -> Result<PeerCredentials, StartError> {
    let Some(kept) = identity::answering(ids)? else { return Err(error.into()) };
    match error {
        PeerError::Sealed(_) => {}
        PeerError::Authority(AuthorityError::Seal(error)) => sealing_key.refuse(&error),
        other => return Err(other.into()),
    }
    credentials.answer_only(&kept)?;
    Ok(credentials)
}

fn serve_peers(
    listener: PeerListener,
    credentials: &PeerCredentials,
    raft: RaftService,
    cluster: ClusterService,
    join: JoinService,
) -> Result<(), StartError> {
    let connections = listener.accept(credentials)?;
    let raft =
        RaftServer::new(raft).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    let cluster = ClusterServer::new(cluster)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let server = Server::builder()
        .add_service(InterceptedService::new(raft, certified))
        .add_service(InterceptedService::new(cluster, certified))
        .add_service(JoinServer::new(join).max_decoding_message_size(JOIN_BYTES_MAX));
    tokio::spawn(async move {
        if let Err(error) = server.serve_with_incoming(connections).await {
            tracing::error!(%error, "the peer port stopped");
        }
    });
    Ok(())
}
