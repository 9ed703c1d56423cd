//! The two listeners of the API: TCP for agents and remote administrators, a Unix socket for local ones.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{Request, Response};
use steeple_api::health::health_server::HealthServer;
use steeple_api::server::agent::agent_server::AgentServer;
use steeple_api::server::bundle::bundle_server::BundleServer;
use steeple_api::server::debug::debug_server::DebugServer;
use steeple_api::server::entry::entry_server::EntryServer;
use steeple_api::server::localauthority::local_authority_server::LocalAuthorityServer;
use steeple_api::server::logger::logger_server::LoggerServer;
use steeple_api::server::svid::svid_server::SvidServer;
use steeple_api::server::trustdomain::trust_domain_server::TrustDomainServer;
use steeple_api::steeple::server::audit_server::AuditServer;
use steeple_api::steeple::server::authorities_server::AuthoritiesServer;
use steeple_api::steeple::server::backup_server::BackupServer;
use steeple_api::steeple::server::cluster_server::ClusterServer;
use steeple_api::steeple::server::entries_server::EntriesServer;
use steeple_api::steeple::server::import_server::ImportServer;
use steeple_api::steeple::server::seal_server::SealServer;
use steeple_config::HostPort;
use steeple_telemetry::log::Levels;
use steeple_telemetry::metric::{CountCalls, CountedBody};
use steeple_transport::serve::{KnownMethods, ServeLimits, serve};
use steeple_transport::tls::{Accept, TlsAcceptor};
use steeple_transport::uds::{BindError, BindModes, PeerTracking, UdsAcceptor, UdsLimits, UdsListener};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tonic::service::{Routes, RoutesBuilder};
use tower::{Service, ServiceBuilder};

use crate::applied_index::AppliedIndex;
use crate::audit::AuditLayer;
use crate::authz::{AuthorizeLayer, Row, TABLE};
use crate::call_log::CallLog;
use crate::peer::JoinProgress;
use crate::seal::KeyInUse;
use crate::service::{
    AgentService, AuditService, AuthoritiesService, BackupService, BundleService, ClusterService, DebugService,
    EntriesService, EntryService, HealthService, ImportService, LocalAuthorityService, LoggerService, PushServer,
    SealService, Shared, SvidService, TrustDomainService,
};

/// What every call passes before it reaches a service.
pub struct Gate {
    pub authorize: AuthorizeLayer,
    /// With `audit_log_enabled` or `audit { }`.
    pub audit: Option<AuditLayer>,
    pub applied_index: AppliedIndex,
}

/// The address that `address` names now.
pub async fn resolve(address: &HostPort) -> anyhow::Result<SocketAddr> {
    let text = address.to_string();
    let mut found = tokio::net::lookup_host(&text).await.with_context(|| format!("cannot resolve {text}"))?;
    found.next().with_context(|| format!("{text} resolves to no address"))
}

pub async fn bind_tcp(address: &HostPort) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind(resolve(address).await?).await;
    bound.with_context(|| {
        format!("cannot listen on {address}: stop what is using the port, or set bind_port (flag -serverPort)")
    })
}

/// While the server is sealed there is no SVID to show: agents are to go elsewhere at once, not to wait for one. Never
/// returns.
pub async fn turn_away(listener: &mut impl Accept, key: &KeyInUse) {
    while key.is_sealed() {
        tokio::select! {
            accepted = listener.accept() => if accepted.is_err() {
                tokio::time::sleep(ACCEPT_RETRY).await;
            },
            () = key.until_open() => {}
        }
    }
    std::future::pending().await
}

/// Binds the admin socket: 0770 in a directory of 0750, which is the only check of local callers.
pub fn bind_admin(path: &Path) -> Result<UdsListener, BindError> {
    UdsListener::bind(path, BindModes { dir: 0o750, socket: 0o770 })
}

/// Answers every call with what this server waits for. Dropping the future ends it; the listener is free again then.
pub async fn serve_waiting(listener: &UdsListener, progress: &JoinProgress) {
    let progress = progress.clone();
    let refuse = tower::service_fn(move |_: Request<Body>| {
        let refused = Status::unavailable(progress.describe()).into_http::<Body>();
        async move { Ok::<_, Infallible>(refused) }
    });
    let acceptor = UdsAcceptor { tracking: PeerTracking::CredentialsOnly, limits: ADMIN_LIMITS };
    let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
    let never = std::future::pending();
    tokio::join!(acceptor.run_on(listener, ready), serve(refuse, incoming, ServeLimits::UDS, never));
}

pub fn serve_admin(
    listener: UdsListener,
    shared: &Arc<Shared>,
    levels: Levels,
    gate: &Gate,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let mut routes = for_administrators(shared);
    routes.add_service(LoggerServer::new(LoggerService { levels }));
    let service = gate.guarded(routes.routes(), |_| true);
    let acceptor = UdsAcceptor { tracking: PeerTracking::CredentialsOnly, limits: ADMIN_LIMITS };
    let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
    tracing::info!(
        subsystem_name = SUBSYSTEM,
        address = %listener.path().display(),
        network = "unix",
        "Starting Server APIs"
    );
    tasks.spawn(acceptor.run(listener, ready));
    tasks.spawn(serve(service, incoming, ServeLimits::UDS, stop.clone().cancelled_owned()));
}

pub fn serve_tcp(
    (listener, address): (impl Accept, SocketAddr),
    acceptor: Arc<TlsAcceptor>,
    shared: &Arc<Shared>,
    gate: &Gate,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let mut routes = common(shared);
    routes.add_service(PushServer::new(Arc::clone(shared)));
    let service = gate.guarded(routes.routes(), Row::is_on_tcp);
    let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
    tracing::info!(
        subsystem_name = SUBSYSTEM,
        %address,
        network = "tcp",
        "Starting Server APIs"
    );
    tasks.spawn(acceptor.run(listener, ready));
    tasks.spawn(serve(service, incoming, ServeLimits::TCP, stop.clone().cancelled_owned()));
}

impl Gate {
    /// For a listener that has the methods that `offers` names. Refusals are counted and on record too, so both stand
    /// in front of the authorizer.
    pub fn guarded(
        &self,
        routes: Routes,
        offers: impl Fn(&Row) -> bool,
    ) -> impl Service<Request<Body>, Response = Response<CountedBody<Body>>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + 'static {
        ServiceBuilder::new()
            .layer(KnownMethods::of(TABLE.iter().filter(|row| offers(row)).map(|row| row.method)))
            .layer(CountCalls::of(TABLE.iter().map(|row| row.method)))
            .layer(CallLog)
            .option_layer(self.audit.clone())
            .layer(self.authorize.clone())
            .layer(self.applied_index.clone())
            .service(routes)
    }
}

/// What the admin socket offers, but for the log of the process.
pub fn for_administrators(shared: &Arc<Shared>) -> RoutesBuilder {
    let mut routes = common(shared);
    routes.add_service(DebugServer::new(DebugService { shared: Arc::clone(shared) }));
    routes.add_service(HealthServer::new(HealthService { shared: Arc::clone(shared) }));
    routes.add_service(ImportServer::new(ImportService { shared: Arc::clone(shared) }));
    routes
}

/// What both listeners offer.
fn common(shared: &Arc<Shared>) -> RoutesBuilder {
    let mut routes: RoutesBuilder = Routes::builder();
    routes.add_service(AgentServer::new(AgentService { shared: Arc::clone(shared) }));
    routes.add_service(BundleServer::new(BundleService { shared: Arc::clone(shared) }));
    routes.add_service(EntryServer::new(EntryService { shared: Arc::clone(shared) }));
    routes.add_service(SvidServer::new(SvidService { shared: Arc::clone(shared) }));
    routes.add_service(TrustDomainServer::new(TrustDomainService { shared: Arc::clone(shared) }));
    routes.add_service(LocalAuthorityServer::new(LocalAuthorityService { shared: Arc::clone(shared) }));
    routes.add_service(AuditServer::new(AuditService { shared: Arc::clone(shared) }));
    routes.add_service(AuthoritiesServer::new(AuthoritiesService { shared: Arc::clone(shared) }));
    routes.add_service(ClusterServer::new(ClusterService { shared: Arc::clone(shared) }));
    routes.add_service(EntriesServer::new(EntriesService { shared: Arc::clone(shared) }));
    routes.add_service(SealServer::new(SealService { shared: Arc::clone(shared) }));
    routes.add_service(BackupServer::new(BackupService { shared: Arc::clone(shared) }));
    routes
}

/// SPIRE's name for the listeners.
const SUBSYSTEM: &str = "endpoints";
const ADMIN_LIMITS: UdsLimits = UdsLimits { connections_max: 1024, connections_per_uid_max: 1024 };
/// The pause after the process ran out of descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Connections that passed TLS and wait to be served.
const ACCEPTED_WAITING_MAX: usize = 128;
