//! The life of the agent: an identity, the first sync, the sockets, and an orderly end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use steeple_cli::{
    PluginDataFiles, ReloadSignals, StopSignals, Supervisor, forbid_core_dumps, raise_open_files, restrict_umask,
};
use steeple_config::{AgentSettings, Loaded, Notice, NoticeLevel};
use steeple_core::{Clock, SystemClock};
use steeple_plugins::external::{Catalog, HostServices};
use steeple_telemetry::log::Logging;
use steeple_telemetry::metric::OwnTls;
use steeple_transport::tls::{IdentityStore, KeyExchange, SharedRoots, TrustRoots, Usage};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use crate::bootstrap::Bootstrap;
use crate::broker;
use crate::cache::RotationRule;
use crate::data::DataFile;
use crate::http;
use crate::identity::{CountedKeys, IdentityDriver, IdentityParts, Rebootstrap, Started};
use crate::persist::{PersistDriver, PersistedFile, SealSlot};
use crate::plugins::{key_manager, node_attestor};
use crate::shared::Shared;
use crate::sockets::{self, Shown};
use crate::stores::StoreDriver;
use crate::sync::{Arrivals, Awaited, Minter, PushDriver, StatusReporter, SyncDriver};
use crate::upstream::Upstream;

/// Settings and log, before anything runs.
pub struct App {
    settings: AgentSettings,
    logging: Logging,
}

impl App {
    /// Starts the log and says what of the configuration needs saying.
    pub fn new(loaded: Loaded<AgentSettings>) -> anyhow::Result<Self> {
        let Loaded { settings, notices } = loaded;
        let logging = steeple_telemetry::log::start(&settings.log).context("log")?;
        tell(&notices);
        Ok(Self { settings, logging })
    }

    /// Runs until a signal, or until the agent has to end by itself.
    pub fn run(self) -> anyhow::Result<()> {
        restrict_umask(NOT_FOR_OTHERS);
        forbid_core_dumps();
        raise_open_files();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
        let catalog = Catalog::new(self.settings.trust_domain.clone(), HostServices::default());
        runtime.block_on(async {
            let ended = self.live(&catalog).await;
            catalog.unload().await;
            ended
        })
    }

    async fn live(self, catalog: &Catalog) -> anyhow::Result<()> {
        let Self { settings, logging } = self;
        tokio::spawn(logging.clone().answer_signals()?);
        let reload = ReloadSignals::new()?;
        std::fs::create_dir_all(&settings.data_dir)
            .with_context(|| format!("cannot make the data directory {}", settings.data_dir.display()))?;
        tracing::info!(
            data_dir = %settings.data_dir.display(),
            version = env!("CARGO_PKG_VERSION"),
            trust_domain_id = %settings.trust_domain.id(),
            "Starting agent"
        );
        let supervisor = Supervisor::of_process();
        tokio::spawn(supervisor.clone().keep_alive());
        supervisor.status("attests");
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (trouble, trouble_met) = watch::channel(None);
        let (bundle_arrived, bundle) = watch::channel(None);
        let bundle_served = bundle.clone();
        let (last_success, last_sync_success) = watch::channel(0);
        let (shown, chain) = watch::channel(Vec::new());

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let roots = TrustRoots::empty().into_shared();
        let store = identity_store(&settings, &roots, &clock);
        let upstream = Arc::new(upstream(&settings, &roots, &store, &clock)?);
        let mut plugin_data = PluginDataFiles::default();
        let shared =
            Shared::new(&settings, Arc::clone(&upstream), Arc::clone(&clock), catalog, &mut plugin_data).await?;
        let own = OwnTls {
            svid: Arc::clone(&store),
            roots: Arc::clone(&roots),
            key_exchange: key_exchange(&settings),
            clock: Arc::clone(&clock),
        };
        http::serve(&settings, &shared, &own, &tasks, &stop).await?;
        sockets::check(&settings)?;
        broker::check(&settings).await?;

        let rotation = RotationRule { availability_target: settings.availability_target };
        let rebootstrap = Rebootstrap::new(settings.rebootstrap_mode, settings.rebootstrap_delay);
        let patience = rebootstrap.patience();
        let persisted = settings.persist_svids.then(|| SealSlot::new(PersistedFile::in_dir(&settings.data_dir)));
        let mut identity = IdentityDriver::new(IdentityParts {
            trust_domain: settings.trust_domain.clone(),
            upstream: Arc::clone(&upstream),
            attestor: node_attestor(&settings, catalog, &mut plugin_data).await?,
            keys: Arc::new(CountedKeys(key_manager(&settings, catalog, &mut plugin_data).await?)),
            data: DataFile::in_dir(&settings.data_dir),
            roots,
            store,
            bootstrap: bootstrap(&settings)?,
            rebootstrap,
            rotation,
            clock: Arc::clone(&clock),
            shown,
            persisted: persisted.clone(),
        });
        tasks.spawn(stop.clone().run_until_cancelled_owned(plugin_data.follow(reload)));
        let mut signals = StopSignals::new()?;
        let started = tokio::select! {
            started = identity.start().instrument(subsystem("attestor")) => started?,
            () = signals.received() => return Ok(()),
        };
        if !identity.can_reattest()
            && settings.plugins_of("KeyManager").any(|block| block.name == "memory" && block.plugin_cmd.is_none())
        {
            tracing::warn!(
                "Node attestation is not reattestable and the 'memory' key manager is in use; if the agent process is \
                 restarted, it will be unable to obtain a new SVID and will need to be manually evicted to be able to \
                 re-attest."
            );
        }
        let key_type = settings.workload_key_type;
        let cache = Arc::clone(&shared.cache);
        let restored = match &persisted {
            Some(slot) if started == Started::Resumed => {
                slot.restore(&identity.keys().await?, &cache, rotation, clock.now())
            }
            _ => false,
        };
        let (pushing, sessions) = watch::channel(None);
        let awaited = Arc::<Awaited>::default();
        let minter = Minter::new(
            Arc::clone(&upstream),
            Arc::clone(&cache),
            key_type,
            rotation,
            Arc::clone(&clock),
            sessions.clone(),
            Arc::clone(&awaited),
        );
        let arrivals = Arc::new(Arrivals {
            cache,
            jwt_cache: Arc::clone(&shared.jwt_cache),
            clock,
            interval: settings.sync_interval,
            trouble,
            last_success,
            bundle_arrived,
            awaited,
            edition: Default::default(),
        });
        let mut sync = SyncDriver {
            upstream: Arc::clone(&upstream),
            arrivals: Arc::clone(&arrivals),
            minter,
            svids_max: settings.x509_svid_cache_max,
            stores: shared.stores.clone(),
            incremental: settings.use_sync_authorized_entries,
            patience,
            sessions: sessions.clone(),
            fetched: false,
        };
        let mut ended = tokio::spawn(identity.run(trouble_met, bundle, stop.clone()).instrument(subsystem("attestor")));
        if !restored {
            tokio::select! {
                result = sync.first().instrument(subsystem("manager")) => result?,
                result = &mut ended => return Ok(result??),
                () = signals.received() => return Ok(()),
            }
        }
        let reporter = StatusReporter {
            upstream: Arc::clone(&shared.upstream),
            cache: Arc::clone(&shared.cache),
            bundle_arrived: bundle_served,
            sessions,
        };
        tasks.spawn(reporter.run(stop.clone()));
        sockets::serve_workloads(&settings, &shared, &tasks, &stop)?;
        let storing = StoreDriver {
            stores: shared.stores.clone(),
            cache: Arc::clone(&shared.cache),
            synced: last_sync_success.clone(),
        };
        tasks.spawn(storing.run(stop.clone()));
        broker::serve_brokers(&settings, &shared, &own, &tasks, &stop).await?;
        let shown = Shown { chain, last_sync_success };
        sockets::serve_admin(&settings, &shared, logging.levels, shown, &tasks, &stop)?;
        supervisor.ready("serves workloads");
        if let Some(slot) = persisted {
            tasks.spawn(PersistDriver { slot, cache: Arc::clone(&shared.cache) }.run(stop.clone()));
        }
        let pushed = PushDriver { upstream, arrivals, sessions: pushing };
        tasks.spawn(sync.run(stop.clone()).instrument(subsystem("manager")));
        tasks.spawn(pushed.run(stop.clone()).instrument(subsystem("manager")));

        let result = tokio::select! {
            () = signals.received() => Ok(()),
            result = &mut ended => result?.map_err(anyhow::Error::from),
        };
        tracing::info!("Shutting down");
        supervisor.stopping();
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(SHUTDOWN_MAX, tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        result
    }
}

/// What of a configuration the operator should know.
pub(crate) fn tell(notices: &[Notice]) {
    for notice in notices {
        match notice.level {
            NoticeLevel::Info => tracing::info!("{}", notice.message),
            NoticeLevel::Warn => tracing::warn!("{}", notice.message),
        }
    }
}

/// What a task logs carries SPIRE's name of the part of the agent that it is.
fn subsystem(name: &'static str) -> Span {
    tracing::error_span!("subsystem", subsystem_name = name)
}

/// What the agent shows to servers, empty at first.
fn identity_store(settings: &AgentSettings, roots: &SharedRoots, clock: &Arc<dyn Clock>) -> Arc<IdentityStore> {
    let own_domain = settings.trust_domain.clone();
    let permits = Arc::new(move |id: &steeple_core::SpiffeId| id.is_member_of(&own_domain));
    IdentityStore::new(Arc::clone(roots), permits, Usage::Client, Arc::clone(clock))
}

fn upstream(
    settings: &AgentSettings,
    roots: &SharedRoots,
    store: &Arc<IdentityStore>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Upstream> {
    Ok(Upstream::new(
        settings.servers.clone(),
        settings.trust_domain.clone(),
        Arc::clone(roots),
        Arc::clone(store),
        key_exchange(settings),
        Arc::clone(clock),
    )?)
}

fn key_exchange(settings: &AgentSettings) -> KeyExchange {
    if settings.require_pq_kem { KeyExchange::PostQuantumOnly } else { KeyExchange::Compatible }
}

fn bootstrap(settings: &AgentSettings) -> anyhow::Result<Bootstrap> {
    let server = settings.servers.first().context("no server is configured")?.clone();
    Ok(Bootstrap { source: settings.bootstrap.clone(), trust_domain: settings.trust_domain.clone(), server })
}

/// The umask that SPIRE's agent sets.
const NOT_FOR_OTHERS: u32 = 0o027;
/// An agent idles; two threads keep a slow attestation from delaying a stream.
const WORKER_THREADS: usize = 2;
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);
