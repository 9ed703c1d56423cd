//! From settings to a running agent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use steeple_api::agent::debug::debug_server::DebugServer;
use steeple_api::agent::logger::logger_server::LoggerServer;
use steeple_api::envoy::sds::secret_discovery_service_server::SecretDiscoveryServiceServer;
use steeple_api::health::health_server::HealthServer;
use steeple_api::workload::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use steeple_cli::{StopSignals, hostname, raise_open_files, restrict_umask};
use steeple_config::{AgentSettings, Loaded, NoticeLevel};
use steeple_core::{Clock, SystemClock};
use steeple_telemetry::health::Checks;
use steeple_telemetry::log::Logging;
use steeple_telemetry::metric::{MetricSettings, Metrics};
use steeple_transport::serve::{ServeLimits, serve};
use steeple_transport::tls::{IdentityStore, KeyExchange, TrustRoots, Usage};
use steeple_transport::uds::{BindModes, PeerTracking, UdsAcceptor, UdsLimits, UdsListener};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tower::ServiceBuilder;

use crate::admin::{DebugService, LoggerService};
use crate::attest::WorkloadAttestors;
use crate::bootstrap::Bootstrap;
use crate::cache::{Cache, JwtCache, RotationRule, SingleFlight};
use crate::data::DataFile;
use crate::http::{self, HealthService};
use crate::identity::{CountedKeys, IdentityDriver, IdentityParts, Rebootstrap};
use crate::metrics;
use crate::plugins::{key_manager, node_attestor, workload_attestors};
use crate::rate_limit::CallerLimits;
use crate::sds::SecretDiscovery;
use crate::sync::{Minter, StatusReporter, SyncDriver};
use crate::upstream::Upstream;
use crate::workload_api::{JwtSource, SecurityHeader, WorkloadApi, WorkloadPolicy};

/// Settings and log, before anything runs.
pub struct App {
    settings: AgentSettings,
    logging: Logging,
}

/// What the parts share.
struct Core {
    upstream: Arc<Upstream>,
    cache: Arc<Cache>,
    jwt_cache: Arc<JwtCache>,
    attestors: Arc<WorkloadAttestors>,
    clock: Arc<dyn Clock>,
    started_at: Instant,
}

impl App {
    /// Starts the log and says what of the configuration needs saying.
    pub fn new(loaded: Loaded<AgentSettings>) -> anyhow::Result<Self> {
        let Loaded { settings, notices } = loaded;
        let logging = steeple_telemetry::log::start(&settings.log).context("log")?;
        for notice in notices {
            match notice.level {
                NoticeLevel::Info => tracing::info!("{}", notice.message),
                NoticeLevel::Warn => tracing::warn!("{}", notice.message),
            }
        }
        Ok(Self { settings, logging })
    }

    /// Runs until a signal, or until the agent has to end by itself.
    pub fn run(self) -> anyhow::Result<()> {
        restrict_umask(NOT_FOR_OTHERS);
        raise_open_files();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build()?;
        runtime.block_on(self.live())
    }

    async fn live(self) -> anyhow::Result<()> {
        let Self { settings, logging } = self;
        tokio::spawn(logging.clone().answer_signals()?);
        std::fs::create_dir_all(&settings.data_dir)
            .with_context(|| format!("cannot make the data directory {}", settings.data_dir.display()))?;
        tracing::info!(
            data_dir = %settings.data_dir.display(),
            version = env!("CARGO_PKG_VERSION"),
            trust_domain_id = %settings.trust_domain.id(),
            "Starting agent"
        );
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (trouble, trouble_met) = watch::channel(None);
        let (bundle_arrived, bundle) = watch::channel(None);
        let bundle_served = bundle.clone();
        let (last_success, last_sync_success) = watch::channel(0);
        let (shown, chain) = watch::channel(Vec::new());

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let roots = TrustRoots::empty().into_shared();
        let own_domain = settings.trust_domain.clone();
        let store = IdentityStore::new(
            Arc::clone(&roots),
            Arc::new(move |id| id.is_member_of(&own_domain)),
            Usage::Client,
            Arc::clone(&clock),
        );
        let key_exchange = if settings.require_pq_kem { KeyExchange::PostQuantumOnly } else { KeyExchange::Compatible };
        let upstream = Arc::new(Upstream::new(
            settings.servers.clone(),
            settings.trust_domain.clone(),
            Arc::clone(&roots),
            Arc::clone(&store),
            key_exchange,
            Arc::clone(&clock),
        )?);
        let core = Core {
            upstream: Arc::clone(&upstream),
            cache: Arc::new(Cache::new(settings.trust_domain.clone())),
            jwt_cache: Arc::new(JwtCache::new(settings.jwt_svid_cache_max)),
            attestors: Arc::new(workload_attestors(&settings)?),
            clock: Arc::clone(&clock),
            started_at: Instant::now(),
        };
        serve_http(&settings, &core, &tasks, &stop).await?;
        // Before a join token is spent; the sockets appear when there is something to serve.
        for path in [&settings.socket_path, &settings.admin_socket_path].into_iter().flatten() {
            UdsListener::check(path)?;
        }

        let rotation = RotationRule { availability_target: settings.availability_target };
        let rebootstrap = Rebootstrap::new(settings.rebootstrap_mode, settings.rebootstrap_delay);
        let patience = rebootstrap.patience();
        let mut identity = IdentityDriver::new(IdentityParts {
            trust_domain: settings.trust_domain.clone(),
            upstream: Arc::clone(&upstream),
            attestor: node_attestor(&settings)?,
            keys: Arc::new(CountedKeys(key_manager(&settings)?)),
            data: DataFile::in_dir(&settings.data_dir),
            roots,
            store,
            bootstrap: bootstrap(&settings)?,
            rebootstrap,
            rotation,
            clock: Arc::clone(&clock),
            shown,
        });
        let mut signals = StopSignals::new()?;
        tokio::select! {
            started = identity.start() => started?,
            () = signals.received() => return Ok(()),
        }
        if !identity.can_reattest() && settings.plugins_of("KeyManager").any(|block| block.name == "memory") {
            tracing::warn!(
                "Node attestation is not reattestable and the 'memory' key manager is in use; if the agent process is \
                 restarted, it will be unable to obtain a new SVID and will need to be manually evicted to be able to \
                 re-attest."
            );
        }
        let mut sync = SyncDriver {
            upstream: Arc::clone(&upstream),
            cache: Arc::clone(&core.cache),
            jwt_cache: Arc::clone(&core.jwt_cache),
            minter: Minter::new(
                Arc::clone(&upstream),
                Arc::clone(&core.cache),
                settings.workload_key_type,
                rotation,
                Arc::clone(&clock),
            ),
            clock,
            interval: settings.sync_interval,
            svids_max: settings.x509_svid_cache_max,
            incremental: settings.use_sync_authorized_entries,
            patience,
            trouble,
            last_success,
            bundle_arrived,
        };
        let mut ended = tokio::spawn(identity.run(trouble_met, bundle, stop.clone()));
        tokio::select! {
            result = sync.first() => result?,
            result = &mut ended => return Ok(result??),
            () = signals.received() => return Ok(()),
        }
        let reporter = StatusReporter { upstream, cache: Arc::clone(&core.cache), bundle_arrived: bundle_served };
        tasks.spawn(reporter.run(stop.clone()));
        serve_workloads(&settings, &core, &tasks, &stop)?;
        serve_admin(&settings, &core, &logging, chain, last_sync_success, &tasks, &stop)?;
        tasks.spawn(sync.run(stop.clone()));

        let result = tokio::select! {
            () = signals.received() => Ok(()),
            result = &mut ended => result?.map_err(anyhow::Error::from),
        };
        tracing::info!("Shutting down");
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(SHUTDOWN_MAX, tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        result
    }
}

fn bootstrap(settings: &AgentSettings) -> anyhow::Result<Bootstrap> {
    let server = settings.servers.first().context("no server is configured")?.clone();
    Ok(Bootstrap { source: settings.bootstrap.clone(), trust_domain: settings.trust_domain.clone(), server })
}

/// The public socket: the Workload API, SDS, health and reflection.
fn serve_workloads(
    settings: &AgentSettings,
    core: &Core,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(path) = &settings.socket_path else { return Ok(()) };
    let limits = Arc::new(CallerLimits::new(settings.rate_limits));
    let mut routes = Routes::builder();
    if !settings.disable_workload_api {
        routes.add_service(SpiffeWorkloadApiServer::new(WorkloadApi {
            cache: Arc::clone(&core.cache),
            attestors: Arc::clone(&core.attestors),
            jwt: Arc::new(JwtSource {
                upstream: Arc::clone(&core.upstream),
                cache: Arc::clone(&core.jwt_cache),
                clock: Arc::clone(&core.clock),
                cache_hit_timeout: settings.jwt_svid_cache_hit_timeout,
                minting: SingleFlight::default(),
            }),
            limits: Arc::clone(&limits),
            policy: WorkloadPolicy {
                allow_unauthenticated_verifiers: settings.allow_unauthenticated_verifiers,
                allowed_foreign_jwt_claims: settings.allowed_foreign_jwt_claims.clone(),
                log_selectors: settings.log_selectors.clone(),
            },
            clock: Arc::clone(&core.clock),
        }));
    }
    if !settings.disable_sds_api {
        routes.add_service(SecretDiscoveryServiceServer::new(SecretDiscovery {
            cache: Arc::clone(&core.cache),
            attestors: Arc::clone(&core.attestors),
            limits,
            settings: Arc::new(settings.sds.clone()),
        }));
    }
    routes.add_service(HealthServer::new(HealthService { cache: Arc::clone(&core.cache) }));
    routes.add_service(reflection(settings).build_v1()?);
    routes.add_service(reflection(settings).build_v1alpha()?);
    let service = ServiceBuilder::new().layer(metrics::call_counts()).layer(SecurityHeader).service(routes.routes());
    let modes = BindModes { dir: 0o755, socket: 0o777 };
    let listener = UdsListener::bind(path, modes)?;
    let acceptor = UdsAcceptor { tracking: PeerTracking::Process, limits: WORKLOAD_LIMITS };
    let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
    tasks.spawn(acceptor.run(listener, ready));
    let stopping = stop.clone().cancelled_owned();
    tasks.spawn(serve(service, incoming, ServeLimits::UDS, stopping));
    tracing::info!(address = %path.display(), network = "unix", "Starting Workload and SDS APIs");
    Ok(())
}

/// The admin socket: Debug and Logger.
fn serve_admin(
    settings: &AgentSettings,
    core: &Core,
    logging: &Logging,
    chain: watch::Receiver<Vec<Vec<u8>>>,
    last_sync_success: watch::Receiver<i64>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(path) = &settings.admin_socket_path else { return Ok(()) };
    let mut routes = Routes::builder();
    routes.add_service(DebugServer::new(DebugService {
        cache: Arc::clone(&core.cache),
        jwt_cache: Arc::clone(&core.jwt_cache),
        chain,
        last_sync_success,
        started_at: core.started_at,
    }));
    routes.add_service(LoggerServer::new(LoggerService { levels: logging.levels.clone() }));
    let listener = UdsListener::bind(path, BindModes { dir: 0o750, socket: 0o770 })?;
    let acceptor = UdsAcceptor { tracking: PeerTracking::CredentialsOnly, limits: ADMIN_LIMITS };
    let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
    tasks.spawn(acceptor.run(listener, ready));
    let service = ServiceBuilder::new().layer(metrics::call_counts()).service(routes.routes());
    tasks.spawn(serve(service, incoming, ServeLimits::UDS, stop.clone().cancelled_owned()));
    tracing::info!(address = %path.display(), network = "unix", "Starting Admin APIs");
    Ok(())
}

/// Health and metrics over HTTP, where configured. They answer from the start, so that a probe sees an agent that
/// cannot attest.
async fn serve_http(
    settings: &AgentSettings,
    core: &Core,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let health = &settings.health_checks;
    if health.listener_enabled {
        let cache = Arc::clone(&core.cache);
        let checks = Checks::builder()
            .check("agent", move || {
                let report = http::check(&cache);
                async move { report }
            })
            .build();
        let listener = steeple_telemetry::bind(&health.listen.host, health.listen.port).await?;
        let router = steeple_telemetry::health::router(checks, health.live_path.clone(), health.ready_path.clone());
        tasks.spawn(steeple_telemetry::serve(listener, router, stop.clone().cancelled_owned()));
    }
    if let Some(prometheus) = &settings.telemetry.prometheus {
        let recorder = Metrics::new(&MetricSettings {
            prefix: match settings.telemetry.metric_prefix.as_str() {
                "" => "spire_agent".to_owned(),
                prefix => prefix.to_owned(),
            },
            host: settings.telemetry.hostname_label.then(hostname),
            trust_domain: settings.telemetry.trust_domain_label.then(|| settings.trust_domain.to_string()),
        })?;
        recorder.install()?;
        let trust_domain = settings.trust_domain.to_string();
        ::metrics::gauge!(metrics::STARTED, "version" => env!("CARGO_PKG_VERSION"), "trust_domain_id" => trust_domain)
            .set(1.0);
        let (cache, jwt_cache, started_at) = (Arc::clone(&core.cache), Arc::clone(&core.jwt_cache), core.started_at);
        recorder.before_render(move || {
            ::metrics::gauge!(metrics::SVIDS, "svid_type" => "x509").set(cache.svid_count() as f64);
            ::metrics::gauge!(metrics::ENTRIES, "svid_type" => "x509").set(cache.entries().len() as f64);
            ::metrics::gauge!(metrics::JWT_SVIDS).set(jwt_cache.len() as f64);
            ::metrics::gauge!(metrics::UPTIME_MS).set(started_at.elapsed().as_millis() as f64);
        });
        let listener = steeple_telemetry::bind(&prometheus.listen.host, prometheus.listen.port).await?;
        let router = steeple_telemetry::metric::router(recorder);
        tasks.spawn(steeple_telemetry::serve(listener, router, stop.clone().cancelled_owned()));
    }
    Ok(())
}

/// What `grpcurl` asks for.
fn reflection(settings: &AgentSettings) -> tonic_reflection::server::Builder<'static> {
    let mut reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(steeple_api::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    if !settings.disable_workload_api {
        reflection = reflection.with_service_name("SpiffeWorkloadAPI");
    }
    if !settings.disable_sds_api {
        reflection = reflection.with_service_name("envoy.service.secret.v3.SecretDiscoveryService");
    }
    reflection
}

/// The umask that SPIRE's agent sets.
const NOT_FOR_OTHERS: u32 = 0o027;
/// An agent idles; two threads keep a slow attestation from delaying a stream.
const WORKER_THREADS: usize = 2;
const WORKLOAD_LIMITS: UdsLimits = UdsLimits { connections_max: 10_000, connections_per_uid_max: 5_000 };
const ADMIN_LIMITS: UdsLimits = UdsLimits { connections_max: 64, connections_per_uid_max: 64 };
const ACCEPTED_WAITING_MAX: usize = 64;
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);
