//! This server's replica: it founds a cluster, joins one, or comes back to one.

use std::future::Future;
use std::sync::Arc;

use anyhow::Context as _;
use steeple_ca::seal::SealingKey;
use steeple_cli::hostname;
use steeple_config::{HostPort, ServerSettings};
use steeple_storage::{Meter, Storage};

use crate::founding::founds;
use crate::issue::{AuthorityKeys, KeysError, TokenIssuers};
use crate::peer::{JoinProgress, PeerListener, Rival};
use crate::raft::{self, Beginning, CleanUp, ClusterStart, Limits, Replica, Start, Timing};
use crate::seal::{self, Custodian, Custody, KeyInUse};
use crate::surroundings::Surroundings;
use crate::{endpoint, peer};

/// A running replica, and the keys that it can open, which are none while it is sealed.
pub struct OwnReplica {
    pub replica: Replica,
    pub keys: Arc<AuthorityKeys>,
    pub meter: Meter,
    /// Where a restore or a recovery made this replica the first of its cluster.
    pub beginning: Option<Beginning>,
    pub sealing_key: KeyInUse,
    /// To be run beside it.
    pub custodian: Custodian,
}

impl OwnReplica {
    /// Waits until the replica belongs to a cluster, and says to `progress` what for; cancel by dropping the future.
    pub async fn start(
        settings: &ServerSettings,
        surroundings: &Surroundings,
        progress: &JoinProgress,
    ) -> anyhow::Result<Self> {
        let storage = Storage::open(&settings.data_dir, surroundings.storage.clone())?;
        let meter = storage.meter();
        let beginning = raft::beginning(&storage)?;
        let clock = &surroundings.clock;
        // Taken before it is known whether there is a cluster, and served afterwards: a port in use is told first, and
        // whoever asks here meanwhile hears that nobody serves.
        let listener = match settings.cluster.enabled {
            true => Some(PeerListener::bind(
                surroundings.peers.as_ref(),
                endpoint::resolve(&settings.cluster.peer_bind).await?,
            )?),
            false => None,
        };
        let founds = founds(settings, &name(settings), &storage, surroundings, progress).await?;
        if founds {
            raft::begin_founding(&storage)?;
            seal::mark_used(&settings.cluster.sealing_key_path)?;
        }
        let custody = Custody::new(&settings.cluster, clock);
        let (custodian, sealing_key) = match settings.cluster.enabled && raft::may_start_sealed(&storage)? {
            true => Custodian::begin(custody).await,
            false => {
                let key = sealing_key(settings, &custody, founds, progress).await?;
                Custodian::with_key(custody, key).await
            }
        };
        let cluster = listener.map(|listener| cluster_start(settings, listener, founds, progress));
        let replica = start_replica(settings, storage, &sealing_key, surroundings, cluster).await?;
        let token_issuers = TokenIssuers {
            jwt: settings.ca.jwt_issuer.clone(),
            wit: settings.wit.as_ref().and_then(|wit| wit.issuer.clone()),
        };
        let keys = Arc::new(AuthorityKeys::new(sealing_key.clone(), token_issuers));
        // A member that has not the right key starts sealed, and one that joins has proved to have it.
        if (founds || !settings.cluster.enabled)
            && let Err(error) = check_sealing_key(&keys, &replica)
        {
            replica.shutdown().await;
            return Err(error).with_context(|| settings.cluster.sealing_key_path.display().to_string());
        }
        if let Some(beginning) = &beginning {
            tracing::info!(%beginning, "this cluster began anew");
        }
        Ok(Self { replica, keys, meter, beginning, sealing_key, custodian })
    }

    /// Until this server and another one turn out to have founded a cluster each.
    pub fn rival(&self, settings: &ServerSettings, surroundings: &Surroundings) -> impl Future<Output = Rival> + use<> {
        let others: Vec<String> = settings.cluster.join.iter().map(ToString::to_string).collect();
        let looks = settings.cluster.bootstrap && !others.is_empty();
        let (state, Surroundings { clock, peers, .. }) = (self.replica.state().clone(), surroundings.clone());
        async move {
            let alone = || {
                let state = state.read();
                state.cluster().filter(|_| state.members().count() == 1).map(|cluster| cluster.uuid)
            };
            if looks { peer::rival(others, alone, peers, clock).await } else { std::future::pending().await }
        }
    }
}

/// For a start that needs it. Made by a founder; in every other case its absence is an error, because a new key would
/// not open what is stored.
async fn sealing_key(
    settings: &ServerSettings,
    custody: &Custody,
    founds: bool,
    progress: &JoinProgress,
) -> anyhow::Result<SealingKey> {
    let cluster = &settings.cluster;
    // With a record somebody else provides the key, and the record says that no cluster has it.
    if founds && cluster.founding_record.is_none() && cluster.sealing_key_path.exists() {
        tracing::warn!(
            path = %cluster.sealing_key_path.display(),
            "a sealing key is there and the data directory is empty: a new trust domain is founded under that key. If \
             this server's disk was lost, stop it: let it join the other replicas (cluster.join), or restore a backup"
        );
    }
    Ok(custody.wait_open(founds, progress).await?)
}

/// Refuses a key that does not open the keyring, before anything would be sealed or signed.
fn check_sealing_key(keys: &AuthorityKeys, replica: &Replica) -> anyhow::Result<()> {
    match keys.keyring(&replica.state().read()) {
        Ok(_) | Err(KeysError::NoKeyring | KeysError::Sealed(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn start_replica(
    settings: &ServerSettings,
    storage: Storage,
    sealing_key: &KeyInUse,
    surroundings: &Surroundings,
    joins: Option<ClusterStart>,
) -> anyhow::Result<Replica> {
    let cluster = &settings.cluster;
    let start = Start {
        storage,
        trust_domain: settings.trust_domain.clone(),
        sealing_key: sealing_key.clone(),
        surroundings: surroundings.clone(),
        timing: Timing {
            heartbeat: cluster.raft.heartbeat_interval,
            election_min: cluster.raft.election_timeout_min,
            election_max: cluster.raft.election_timeout_max,
            promote_after: cluster.promote_after,
            ..Timing::default()
        },
        limits: Limits::with_snapshots_every(cluster.snapshot_entries),
        clean_up: cluster
            .dead_server_cleanup
            .map(|cleanup| CleanUp { after: cleanup.after, voters_min: cleanup.min_quorum }),
        api_address: advertised(cluster.api_advertise.as_ref(), &settings.bind),
        cluster: joins,
    };
    let key_path = cluster.sealing_key_path.display();
    raft::start(start).await.with_context(|| format!("replica with sealing key {key_path}"))
}

fn cluster_start(
    settings: &ServerSettings,
    listener: PeerListener,
    founds: bool,
    progress: &JoinProgress,
) -> ClusterStart {
    let cluster = &settings.cluster;
    ClusterStart {
        name: name(settings),
        listener,
        advertise: peer_address(settings),
        join: cluster.join.iter().map(ToString::to_string).collect(),
        bootstrap: founds,
        progress: progress.clone(),
    }
}

/// What tells it apart: its own name, or what peers dial.
fn name(settings: &ServerSettings) -> String {
    settings.cluster.name.clone().unwrap_or_else(|| peer_address(settings))
}

fn peer_address(settings: &ServerSettings) -> String {
    advertised(settings.cluster.peer_advertise.as_ref(), &settings.cluster.peer_bind)
}

/// What others are told: the configured address, or this host's name where the listener has no address of its own.
fn advertised(configured: Option<&HostPort>, bind: &HostPort) -> String {
    match configured {
        Some(address) => address.to_string(),
        None if bind.is_unspecified() => HostPort::new(hostname(), bind.port).to_string(),
        None => bind.to_string(),
    }
}
