//! The two sockets of the agent: one for workloads, one for whoever administers the node.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::agent::debug::debug_server::DebugServer;
use steeple_api::agent::delegatedidentity::delegated_identity_server::DelegatedIdentityServer;
use steeple_api::agent::logger::logger_server::LoggerServer;
use steeple_api::envoy::sds::secret_discovery_service_server::SecretDiscoveryServiceServer;
use steeple_api::health::health_server::HealthServer;
use steeple_api::methods_of;
use steeple_api::workload::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use steeple_config::AgentSettings;
use steeple_telemetry::log::Levels;
use steeple_transport::serve::{KnownMethods, ServeLimits, serve};
use steeple_transport::uds::{BindError, BindModes, PeerTracking, UdsAcceptor, UdsLimits, UdsListener};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic_reflection::pb::v1::server_reflection_server::ServerReflectionServer;
use tower::ServiceBuilder;

use crate::admin::{DebugService, LoggerService};
use crate::call_log::{CallLog, ENDPOINTS};
use crate::delegated_identity::{DelegatedIdentity, Delegates};
use crate::http::HealthService;
use crate::metrics;
use crate::rate_limit::CallerLimits;
use crate::reflection::{FormerName, Reflection};
use crate::sds::SecretDiscovery;
use crate::shared::Shared;
use crate::workload_api::{WORKLOAD_GATE, WorkloadApi, WorkloadPolicy};

/// What the admin socket shows of the agent's own life.
pub struct Shown {
    /// The agent's SVID, DER, leaf first.
    pub chain: watch::Receiver<Vec<Vec<u8>>>,
    /// Unix seconds; 0 before the first.
    pub last_sync_success: watch::Receiver<i64>,
}

/// Whether both sockets could be bound, before a join token is spent: they appear when there is something to serve.
pub fn check(settings: &AgentSettings) -> Result<(), BindError> {
    let sockets = [(&settings.socket_path, BindModes::PUBLIC), (&settings.admin_socket_path, BindModes::PRIVATE)];
    for (path, modes) in sockets {
        if let Some(path) = path {
            UdsListener::check(path, modes)?;
        }
    }
    Ok(())
}

/// The public socket: the Workload API, SDS, health and reflection.
pub fn serve_workloads(
    settings: &AgentSettings,
    shared: &Shared,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(path) = &settings.socket_path else {
        let apis = "Workload and SDS APIs";
        tracing::info!(apis, "Skipping agent APIs because public endpoint is disabled");
        return Ok(());
    };
    let limits = Arc::new(CallerLimits::new(settings.rate_limits));
    let services = public_services(settings);
    let mut routes = Routes::builder();
    if !settings.disable_workload_api {
        routes.add_service(SpiffeWorkloadApiServer::new(WorkloadApi {
            cache: Arc::clone(&shared.cache),
            attestors: Arc::clone(&shared.attestors),
            jwt: Arc::clone(&shared.jwt),
            limits: Arc::clone(&limits),
            policy: WorkloadPolicy {
                allow_unauthenticated_verifiers: settings.allow_unauthenticated_verifiers,
                allowed_foreign_jwt_claims: settings.allowed_foreign_jwt_claims.clone(),
                log_selectors: settings.log_selectors.clone(),
            },
            clock: Arc::clone(&shared.clock),
        }));
    }
    if !settings.disable_sds_api {
        routes.add_service(SecretDiscoveryServiceServer::new(SecretDiscovery {
            cache: Arc::clone(&shared.cache),
            attestors: Arc::clone(&shared.attestors),
            limits,
            settings: Arc::new(settings.sds.clone()),
        }));
    }
    routes.add_service(HealthServer::new(HealthService { cache: Arc::clone(&shared.cache) }));
    let reflection = ServerReflectionServer::new(Reflection::of(&[services.as_slice(), &REFLECTION_APIS].concat()));
    routes.add_service(FormerName(reflection.clone()));
    routes.add_service(reflection);
    let known = methods_of(&services).into_iter().chain(REFLECTION_METHODS.map(str::to_owned));
    let service = ServiceBuilder::new()
        .layer(KnownMethods::of(known))
        .layer(metrics::call_counts())
        .layer(CallLog)
        .layer(WORKLOAD_GATE)
        .service(routes.routes());
    let modes = BindModes { dir: 0o755, socket: 0o777 };
    let listener = UdsListener::bind(path, modes)?;
    let acceptor = UdsAcceptor { tracking: PeerTracking::Process, limits: WORKLOAD_LIMITS };
    let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
    tasks.spawn(acceptor.run(listener, ready));
    tasks.spawn(serve(service, incoming, SERVE_LIMITS, stop.clone().cancelled_owned()));
    let address = path.display();
    let apis = api_names(settings);
    tracing::info!(subsystem_name = ENDPOINTS, %address, network = "unix", apis, "Starting agent APIs");
    Ok(())
}

/// As SPIRE's log names them.
fn api_names(settings: &AgentSettings) -> &'static str {
    match (settings.disable_workload_api, settings.disable_sds_api) {
        (false, false) => "Workload and SDS APIs",
        (false, true) => "Workload API",
        (true, false) => "SDS API",
        (true, true) => "no APIs",
    }
}

/// The admin socket: Debug, Logger and Delegated Identity.
pub fn serve_admin(
    settings: &AgentSettings,
    shared: &Shared,
    levels: Levels,
    shown: Shown,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(path) = &settings.admin_socket_path else { return Ok(()) };
    let mut routes = Routes::builder();
    routes.add_service(DebugServer::new(DebugService {
        cache: Arc::clone(&shared.cache),
        jwt_cache: Arc::clone(&shared.jwt_cache),
        chain: shown.chain,
        last_sync_success: shown.last_sync_success,
        started_at: shared.started_at,
    }));
    routes.add_service(LoggerServer::new(LoggerService { levels }));
    routes.add_service(DelegatedIdentityServer::new(DelegatedIdentity {
        cache: Arc::clone(&shared.cache),
        delegates: Arc::new(Delegates {
            cache: Arc::clone(&shared.cache),
            attestors: Arc::clone(&shared.attestors),
            authorized: settings.authorized_delegates.iter().cloned().collect(),
        }),
        jwt: Arc::clone(&shared.jwt),
    }));
    let listener = UdsListener::bind(path, BindModes { dir: 0o750, socket: 0o770 })?;
    let acceptor = UdsAcceptor { tracking: PeerTracking::ProcessIfVisible, limits: ADMIN_LIMITS };
    let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
    tasks.spawn(acceptor.run(listener, ready));
    let service = ServiceBuilder::new()
        .layer(KnownMethods::of(methods_of(&[DEBUG_API, LOGGER_API, DELEGATED_API])))
        .layer(metrics::call_counts())
        .layer(CallLog)
        .service(routes.routes());
    tasks.spawn(serve(service, incoming, SERVE_LIMITS, stop.clone().cancelled_owned()));
    tracing::info!(address = %path.display(), network = "unix", "Starting Admin APIs");
    Ok(())
}

/// What the public socket offers beside reflection.
fn public_services(settings: &AgentSettings) -> Vec<&'static str> {
    let offered =
        [(HEALTH_API, true), (WORKLOAD_API, !settings.disable_workload_api), (SDS_API, !settings.disable_sds_api)];
    offered.into_iter().filter_map(|(service, enabled)| enabled.then_some(service)).collect()
}

const HEALTH_API: &str = "grpc.health.v1.Health";
const WORKLOAD_API: &str = "SpiffeWorkloadAPI";
const SDS_API: &str = "envoy.service.secret.v3.SecretDiscoveryService";
const DEBUG_API: &str = "spire.agent.debug.v1.Debug";
const DELEGATED_API: &str = "spire.api.agent.delegatedidentity.v1.DelegatedIdentity";
const LOGGER_API: &str = "spire.api.agent.logger.v1.Logger";
/// SPIRE lists them too.
pub const REFLECTION_APIS: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];
pub const REFLECTION_METHODS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// Clients on the same node call again: a call that takes longer than this must not keep the next agent from starting.
pub const SERVE_LIMITS: ServeLimits = ServeLimits { drain_max: Duration::from_secs(3), ..ServeLimits::UDS };
const WORKLOAD_LIMITS: UdsLimits = UdsLimits { connections_max: 10_000, connections_per_uid_max: 5_000 };
const ADMIN_LIMITS: UdsLimits = UdsLimits { connections_max: 64, connections_per_uid_max: 64 };
const ACCEPTED_WAITING_MAX: usize = 64;
