//! From settings to a running server.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use steeple_ca::DistinguishedName;
use steeple_ca::policy::Policy;
use steeple_ca::seal::SealingKey;
use steeple_cli::{StopSignals, hostname, raise_open_files, restrict_umask};
use steeple_config::{HostPort, Loaded, NoticeLevel, ServerSettings};
use steeple_core::{AuthorityKind, Clock, SystemClock, TrustDomain};
use steeple_storage::Storage;
use steeple_telemetry::log::Logging;
use steeple_transport::proxy::TrustedProxies;
use steeple_transport::tls::{
    AcceptLimits, ClientIdVerifier, IdentityStore, KeyExchange, TlsAcceptor, TrustRoots, Usage, server_config,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::AuditLayer;
use crate::authz::{Authorizer, RateLimits};
use crate::backup::Backups;
use crate::driver::backup::BackupDriver;
use crate::driver::ca::CaDriver;
use crate::driver::federation::{BundleAges, FederationDriver};
use crate::driver::prune::{PruneAgents, PruneDriver};
use crate::driver::roots;
use crate::driver::server_svid::ServerSvidDriver;
use crate::driver::upstream::UpstreamDriver;
use crate::endpoint::Gate;
use crate::federation::{BundleEndpoint, Relationships};
use crate::first_steps::first_steps;
use crate::issue::{AuthorityKeys, AuthorityMaker, Issuer, KeysError, Signer};
use crate::node_attestors::{OwnRootsOf, node_attestors};
use crate::peer::PeerListener;
use crate::raft::{self, ClusterStart, Limits, Replica, Start, Timing};
use crate::service::{Shared, Switches};
use crate::upstream_authority::Upstream;
use crate::{endpoint, http, peer, sealing_key};

/// Settings and log, before anything runs.
pub struct App {
    settings: ServerSettings,
    logging: Logging,
}

impl App {
    /// Starts the log and says what of the configuration needs saying.
    pub fn new(loaded: Loaded<ServerSettings>) -> anyhow::Result<Self> {
        let Loaded { settings, notices } = loaded;
        restrict_umask(FOR_THE_OWNER_ONLY);
        raise_open_files();
        let logging = steeple_telemetry::log::start(&settings.log).context("log")?;
        for notice in notices {
            match notice.level {
                NoticeLevel::Info => tracing::info!("{}", notice.message),
                NoticeLevel::Warn => tracing::warn!("{}", notice.message),
            }
        }
        Ok(Self { settings, logging })
    }

    /// Runs until a signal.
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.live())
    }

    async fn live(self) -> anyhow::Result<()> {
        let Self { settings, logging } = self;
        let started_at = Instant::now();
        let mut signals = StopSignals::new()?;
        let levels = logging.levels.clone();
        let audit = settings.audit_log_enabled.then(|| AuditLayer::new(logging.ledger()));
        tokio::spawn(logging.answer_signals()?);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        tracing::info!(
            data_dir = %settings.data_dir.display(),
            version = env!("CARGO_PKG_VERSION"),
            trust_domain_id = %settings.trust_domain.id(),
            "Configured"
        );

        // Everything that can be refused is tried before the first replicated effect.
        let own_roots = OwnRootsOf::default();
        let attestors = node_attestors(&settings, &own_roots, &clock)?;
        let upstream = Upstream::from_settings(&settings, &clock)?;
        let tcp = bind_tcp(&settings.bind).await?;
        let admin = endpoint::bind_admin(&settings.socket_path)?;
        let bundle_endpoint = match &settings.federation.bundle_endpoint {
            Some(endpoint) => Some(BundleEndpoint::bind(endpoint).await?),
            None => None,
        };
        let joined = Arc::new(OnceLock::new());
        http::serve_health(&settings, Arc::clone(&joined), &tasks, &stop).await?;
        let storage = open_storage(&settings)?;
        let founds = tokio::select! {
            founds = founds(&settings, &storage, &clock) => founds?,
            never = admin.turn_away() => match never {},
            () = signals.received() => return Ok(()),
        };
        let sealing_key = Arc::new(sealing_key(&settings, founds)?);
        let replica = tokio::select! {
            started = start_replica(&settings, storage, &sealing_key, &clock, founds) => started?,
            never = admin.turn_away() => match never {},
            () = signals.received() => return Ok(()),
        };

        own_roots.read_from(&replica);
        let policy = policy(&settings);
        let backups = Backups::new(replica.clone(), Arc::clone(&sealing_key), Arc::clone(&clock));
        let keys = Arc::new(AuthorityKeys::new(sealing_key, settings.ca.jwt_issuer.clone()));
        if let Err(error) = check_sealing_key(&keys, &replica) {
            replica.shutdown().await;
            return Err(error).with_context(|| settings.cluster.sealing_key_path.display().to_string());
        }
        replica.set_signing_handler(Arc::new(Signer::new(
            replica.clone(),
            Arc::clone(&keys),
            policy.clone(),
            Arc::clone(&clock),
        )));
        let maker = Arc::new(AuthorityMaker {
            replica: replica.clone(),
            keys,
            policy,
            trust_domain: settings.trust_domain.clone(),
            upstream,
        });
        let (shown, server_svid) = watch::channel(None);
        let federation = FederationDriver {
            replica: replica.clone(),
            clock: Arc::clone(&clock),
            relationships: Arc::new(Relationships::new(settings.federation.relationships.iter().cloned())),
            ages: BundleAges::default(),
        };
        let shared = Arc::new(Shared {
            replica: replica.clone(),
            issuer: Issuer::new(replica.clone()),
            maker: Arc::clone(&maker),
            backups: backups.clone(),
            trust_domain: settings.trust_domain.clone(),
            clock: Arc::clone(&clock),
            attestors,
            switches: Switches {
                jwt_svids_disabled: settings.disable_jwt_svids,
                agent_id_as_selector: settings.agent_spiffe_id_as_selector,
            },
            relationships: Arc::clone(&federation.relationships),
            server_svid: server_svid.clone(),
            started_at,
        });
        let _ = joined.set(Arc::clone(&shared));
        let ages = federation.ages.clone();
        http::serve_metrics(&settings, replica.clone(), ages, Arc::clone(&clock), &tasks, &stop).await?;
        http::serve_oidc(&settings, replica.clone(), &tasks, &stop).await?;

        let trust_roots = TrustRoots::empty().into_shared();
        let own_domain = settings.trust_domain.clone();
        let identity = IdentityStore::new(
            Arc::clone(&trust_roots),
            Arc::new(move |id| *id == own_domain.server_id()),
            Usage::Server,
            Arc::clone(&clock),
        );
        tasks.spawn(roots::run(replica.clone(), Arc::clone(&trust_roots), stop.clone()));
        let mut kinds = vec![AuthorityKind::X509];
        if !settings.disable_jwt_svids {
            kinds.push(AuthorityKind::Jwt);
        }
        let ca = Arc::new(CaDriver { maker, clock: Arc::clone(&clock), kinds });
        tasks.spawn(UpstreamDriver { ca: Arc::clone(&ca) }.run(stop.clone()));
        tasks.spawn(ca.run(stop.clone()));
        let prune = PruneDriver {
            replica: replica.clone(),
            clock: Arc::clone(&clock),
            agents: settings.prune_attested_nodes.map(|prune| PruneAgents {
                expired_for: prune.expired_for,
                batch_size: prune.batch_size,
                include_tofu: prune.tofu_nodes,
            }),
        };
        tasks.spawn(prune.run(stop.clone()));
        tasks.spawn(federation.run(stop.clone()));
        if let Some(schedule) = settings.cluster.backup.clone() {
            let (trust_domain, clock) = (settings.trust_domain.clone(), Arc::clone(&clock));
            tasks.spawn(BackupDriver { backups, clock, trust_domain, schedule }.run(stop.clone()));
        }
        let own_svid = ServerSvidDriver {
            replica: replica.clone(),
            issuer: Issuer::new(replica.clone()),
            trust_domain: settings.trust_domain.clone(),
            key_type: settings.ca.key_type,
            store: Arc::clone(&identity),
            roots: Arc::clone(&trust_roots),
            clock: Arc::clone(&clock),
            shown,
        };
        tasks.spawn(own_svid.run(stop.clone()));

        // The admin socket does not wait for an SVID: an operator wants to know why a server is not ready.
        let limits = RateLimits::new(settings.rate_limit);
        let authorizer =
            Authorizer::new(replica.clone(), settings.admin_ids.iter().cloned(), limits, Arc::clone(&clock));
        let gate = Gate { authorize: authorizer.layer(), audit };
        endpoint::serve_admin(admin, &shared, levels, &gate, &tasks, &stop);
        let mut identified = server_svid;
        tokio::select! {
            shown = identified.wait_for(Option::is_some) => { shown?; }
            () = signals.received() => return end(replica, tasks, stop).await,
        }
        if let Some(endpoint) = bundle_endpoint {
            let (own, exchange) = (Arc::clone(&identity), key_exchange(&settings));
            endpoint.serve(replica.clone(), own, exchange, Arc::clone(&clock), &tasks, &stop)?;
        }
        let acceptor = tls_acceptor(&settings, identity, trust_roots, &clock)?;
        endpoint::serve_tcp(tcp, acceptor, &shared, &gate, &tasks, &stop)?;
        if settings.config_path.is_none() {
            print!("{}", first_steps(&settings, std::env::args().next().as_deref().unwrap_or_default()));
        }

        signals.received().await;
        end(replica, tasks, stop).await
    }
}

/// Stops taking connections, sends clients away, hands over leadership, then stops the replica.
async fn end(replica: Replica, tasks: TaskTracker, stop: CancellationToken) -> anyhow::Result<()> {
    tracing::info!("Stopping server");
    stop.cancel();
    tasks.close();
    let drained = tokio::time::timeout(DRAIN_MAX, tasks.wait());
    let (drained, ()) = tokio::join!(drained, replica.shutdown());
    if drained.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    tracing::info!("Server stopped gracefully");
    Ok(())
}

fn open_storage(settings: &ServerSettings) -> anyhow::Result<Storage> {
    Ok(Storage::open(&settings.data_dir, steeple_storage::Options::default())?)
}

/// Whether this start founds a cluster: it is allowed to, its directory is empty, and there is no cluster already. A
/// founder on a new disk joins what it once founded.
async fn founds(settings: &ServerSettings, storage: &Storage, clock: &Arc<dyn Clock>) -> anyhow::Result<bool> {
    let cluster = &settings.cluster;
    if cluster.enabled && !cluster.bootstrap || raft::is_member(storage)? {
        return Ok(false);
    }
    let others: Vec<String> = cluster.join.iter().map(ToString::to_string).collect();
    let founds = peer::nobody_serves(&others, Arc::clone(clock)).await?;
    if !founds {
        tracing::info!("there is a cluster already: this server joins it as a new node");
    }
    Ok(founds)
}

/// Made by a founder; in every other case its absence is an error, because a new key would not open what is stored.
fn sealing_key(settings: &ServerSettings, founds: bool) -> anyhow::Result<SealingKey> {
    let cluster = &settings.cluster;
    if founds && cluster.sealing_key_path.exists() {
        tracing::warn!(
            path = %cluster.sealing_key_path.display(),
            "a sealing key is there and the data directory is empty: a new trust domain is founded under that key. If \
             this server's disk was lost, stop it: let it join the other replicas (cluster.join), or restore a backup"
        );
    }
    Ok(sealing_key::load(&cluster.sealing_key_path, founds)?)
}

/// Refuses a key that does not open the keyring, before anything would be sealed or signed. A replica that joined a
/// moment ago has no keyring yet; its key was tried in the join.
fn check_sealing_key(keys: &AuthorityKeys, replica: &Replica) -> anyhow::Result<()> {
    match keys.keyring(&replica.state().read()) {
        Ok(_) | Err(KeysError::NoKeyring) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Founds a cluster, joins one or comes back to one.
async fn start_replica(
    settings: &ServerSettings,
    storage: Storage,
    sealing_key: &Arc<SealingKey>,
    clock: &Arc<dyn Clock>,
    founds: bool,
) -> anyhow::Result<Replica> {
    let cluster = &settings.cluster;
    let api_address = advertised(cluster.api_advertise.as_ref(), &settings.bind);
    let cluster_start = match cluster.enabled {
        false => None,
        true => {
            let listener = PeerListener::bind(resolve(&cluster.peer_bind).await?)?;
            let advertise = advertised(cluster.peer_advertise.as_ref(), &cluster.peer_bind);
            Some(ClusterStart {
                name: cluster.name.clone().unwrap_or_else(|| advertise.clone()),
                listener,
                advertise,
                join: cluster.join.iter().map(ToString::to_string).collect(),
                bootstrap: founds,
            })
        }
    };
    let start = Start {
        storage,
        trust_domain: settings.trust_domain.clone(),
        sealing_key: Arc::clone(sealing_key),
        clock: Arc::clone(clock),
        timing: Timing {
            heartbeat: cluster.raft.heartbeat_interval,
            election_min: cluster.raft.election_timeout_min,
            election_max: cluster.raft.election_timeout_max,
            ..Timing::default()
        },
        limits: Limits { snapshot_entries: cluster.snapshot_entries, ..Limits::default() },
        api_address,
        cluster: cluster_start,
    };
    let key_path = cluster.sealing_key_path.display();
    raft::start(start).await.with_context(|| format!("replica with sealing key {key_path}"))
}

/// What others are told: the configured address, or this host's name where the listener has no address of its own.
fn advertised(configured: Option<&HostPort>, bind: &HostPort) -> String {
    match configured {
        Some(address) => address.to_string(),
        None if bind.is_unspecified() => HostPort::new(hostname(), bind.port).to_string(),
        None => bind.to_string(),
    }
}

async fn resolve(address: &HostPort) -> anyhow::Result<SocketAddr> {
    let text = address.to_string();
    let mut found = tokio::net::lookup_host(&text).await.with_context(|| format!("cannot resolve {text}"))?;
    found.next().with_context(|| format!("{text} resolves to no address"))
}

async fn bind_tcp(address: &HostPort) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(resolve(address).await?).await;
    bound.with_context(|| {
        format!("cannot listen on {address}: stop what is using the port, or set bind_port (flag -serverPort)")
    })
}

fn tls_acceptor(
    settings: &ServerSettings,
    identity: Arc<IdentityStore>,
    roots: steeple_transport::tls::SharedRoots,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Arc<TlsAcceptor>> {
    let (own, admins): (TrustDomain, Vec<_>) = (settings.trust_domain.clone(), settings.admin_ids.clone());
    let permits = Arc::new(move |id: &steeple_core::SpiffeId| id.is_member_of(&own) || admins.contains(id));
    let verifier = ClientIdVerifier::new(roots, permits);
    let config = server_config(identity, verifier, key_exchange(settings), Arc::clone(clock))?;
    Ok(TlsAcceptor::behind(trusted_proxies(settings), config, AcceptLimits::DEFAULT))
}

/// The protocol stays off unless networks are named: then only those may send headers.
fn trusted_proxies(settings: &ServerSettings) -> TrustedProxies {
    let networks = settings.proxy_protocol_trusted_cidrs.clone();
    if networks.is_empty() {
        return TrustedProxies::default();
    }
    let names: Vec<String> = networks.iter().map(ToString::to_string).collect();
    tracing::info!(trusted_cidrs = names.join(" "), "PROXY protocol enabled on TCP listener");
    TrustedProxies::where_true(move |address| networks.iter().any(|network| network.contains(address)))
}

fn key_exchange(settings: &ServerSettings) -> KeyExchange {
    if settings.require_pq_kem { KeyExchange::PostQuantumOnly } else { KeyExchange::Compatible }
}

fn policy(settings: &ServerSettings) -> Policy {
    let subject = &settings.ca.subject;
    Policy {
        ca_ttl: settings.ttl.ca,
        ca_key_type: settings.ca.key_type,
        jwt_key_type: settings.ca.jwt_key_type,
        ca_subject: DistinguishedName {
            country: subject.country.clone(),
            organization: subject.organization.clone(),
            common_name: subject.common_name.clone(),
            ..DistinguishedName::default()
        },
        jwt_issuer: settings.ca.jwt_issuer.clone(),
        x509_svid_ttl: settings.ttl.x509_svid,
        jwt_svid_ttl: settings.ttl.jwt_svid,
        agent_ttl: settings.ttl.agent,
        ..Policy::default()
    }
}

/// The store's files hold what an attacker could try keys on, and RocksDB asks for nothing stricter. Sockets and the
/// log file have modes of their own.
const FOR_THE_OWNER_ONLY: u32 = 0o077;
/// SPIRE's limit for a graceful stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);
