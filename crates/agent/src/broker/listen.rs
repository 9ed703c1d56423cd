//! The listeners of the Broker API: a socket of the node, a TCP port, or both, all with mutual TLS.

use std::io;
use std::sync::Arc;

use anyhow::Context as _;
use http::Request;
use steeple_api::broker::api_server::ApiServer;
use steeple_api::methods_of;
use steeple_config::{AgentSettings, BrokerSettings};
use steeple_core::SpiffeId;
use steeple_telemetry::metric::OwnTls;
use steeple_transport::serve::{KnownMethods, ServeLimits, serve};
use steeple_transport::tls::{
    Accept, AcceptLimits, ClientIdVerifier, IdentityStore, SharedRoots, TlsAcceptor, TrustRoots, server_config,
};
use steeple_transport::uds::{BindModes, UdsListener};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic_reflection::pb::v1::server_reflection_server::ServerReflectionServer;
use tower::ServiceBuilder;

use super::callers::{Callers, Transport};
use super::service::BrokerApi;
use crate::cache::Cache;
use crate::call_log::{CallLog, ENDPOINTS};
use crate::metrics;
use crate::reflection::{FormerName, Reflection};
use crate::shared::Shared;
use crate::sockets::{REFLECTION_APIS, REFLECTION_METHODS, SERVE_LIMITS};
use crate::workload_api::{Gate, check_header};

/// Whether the addresses could be bound, before a join token is spent.
pub async fn check(settings: &AgentSettings) -> anyhow::Result<()> {
    let Some(BrokerSettings { socket_path, bind_address, .. }) = &settings.broker else { return Ok(()) };
    if let Some(path) = socket_path {
        UdsListener::check(path, BindModes::PRIVATE)?;
    }
    if let Some(address) = bind_address {
        bind_tcp(&address.to_string()).await?;
    }
    Ok(())
}

/// Serves brokers from now on, where any are configured.
pub async fn serve_brokers(
    settings: &AgentSettings,
    shared: &Shared,
    own: &OwnTls,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(broker) = &settings.broker else { return Ok(()) };
    let roots = TrustRoots::empty().into_shared();
    refresh(&shared.cache, &roots);
    tasks.spawn(stop.clone().run_until_cancelled_owned(follow_bundles(Arc::clone(&shared.cache), Arc::clone(&roots))));
    let listeners = Listeners { broker, shared, own, roots: &roots, tasks, stop };
    if let Some(path) = &broker.socket_path {
        let listener = UdsListener::bind(path, BindModes::PRIVATE)?;
        listeners.serve(listener.into_inner(), Transport::Uds)?;
        tracing::info!(subsystem_name = ENDPOINTS, address = %path.display(), network = "unix", "{STARTING}");
    }
    if let Some(address) = &broker.bind_address {
        listeners.serve(bind_tcp(&address.to_string()).await?, Transport::Tcp)?;
        tracing::info!(subsystem_name = ENDPOINTS, %address, network = "tcp", "{STARTING}");
    }
    Ok(())
}

/// What all of them have.
struct Listeners<'a> {
    broker: &'a BrokerSettings,
    shared: &'a Shared,
    own: &'a OwnTls,
    roots: &'a SharedRoots,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Listeners<'_> {
    fn serve<A: Accept>(&self, listener: A, transport: Transport) -> anyhow::Result<()> {
        let Self { broker, shared, own, roots, tasks, stop } = self;
        let brokers = Arc::new(broker.brokers.clone());
        let named = Arc::clone(&brokers);
        let permits = Arc::new(move |id: &SpiffeId| named.contains_key(id));
        let verifier = ClientIdVerifier::required(Arc::clone(roots), permits);
        let identity: Arc<IdentityStore> = Arc::clone(&own.svid);
        let config = server_config(identity, verifier, own.key_exchange, Arc::clone(&own.clock))?;
        let acceptor = TlsAcceptor::new(config, ACCEPT_LIMITS);
        let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
        tasks.spawn(acceptor.run(listener, ready));

        let api = BrokerApi {
            cache: Arc::clone(&shared.cache),
            attestors: Arc::clone(&shared.attestors),
            jwt: Arc::clone(&shared.jwt),
            callers: Arc::new(Callers { brokers, transport, clock: Arc::clone(&shared.clock) }),
        };
        let mut routes = Routes::builder();
        routes.add_service(ApiServer::new(api).max_decoding_message_size(REQUEST_BYTES_MAX));
        if transport == Transport::Uds {
            let offered = [[BROKER_API].as_slice(), &REFLECTION_APIS].concat();
            let reflection = ServerReflectionServer::new(Reflection::of(&offered));
            routes.add_service(FormerName(reflection.clone()));
            routes.add_service(reflection);
        }
        let known = methods_of(&[BROKER_API]).into_iter().chain(REFLECTION_METHODS.map(str::to_owned));
        let service = ServiceBuilder::new()
            .layer(KnownMethods::of(known))
            .layer(metrics::call_counts())
            .layer(CallLog)
            .layer(Gate(match transport {
                Transport::Tcp => from_afar,
                Transport::Uds => from_the_node,
            }))
            .service(routes.routes());
        // There is no other agent that a connection could move to: it may last.
        let streams = match transport {
            Transport::Tcp => ServeLimits::TCP,
            Transport::Uds => ServeLimits::UDS,
        };
        let limits = ServeLimits { concurrent_streams_max: streams.concurrent_streams_max, ..SERVE_LIMITS };
        tasks.spawn(serve(service, incoming, limits, CancellationToken::clone(stop).cancelled_owned()));
        Ok(())
    }
}

/// SPIRE's order: reflection is refused before the header is looked at.
fn from_afar(request: &Request<Body>) -> Result<(), Status> {
    if REFLECTION_METHODS.contains(&request.uri().path()) {
        return Err(Status::permission_denied("server reflection is only available over Unix sockets"));
    }
    from_the_node(request)
}

fn from_the_node(request: &Request<Body>) -> Result<(), Status> {
    check_header(request, HEADER)
}

/// Brokers of other trust domains are known by the bundles that entries of this node federate with.
async fn follow_bundles(cache: Arc<Cache>, roots: SharedRoots) {
    let mut changes = cache.changes();
    // The sender lives in the cache that is held here: this does not end.
    while changes.changed().await.is_ok() {
        refresh(&cache, &roots);
    }
}

fn refresh(cache: &Cache, roots: &SharedRoots) {
    let mut all = TrustRoots::empty();
    for bundle in cache.bundles() {
        let ders: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.der.as_slice()).collect();
        match all.clone().with(bundle.trust_domain.clone(), &ders) {
            Ok(more) => all = more,
            // Brokers of the other domains are served all the same.
            Err(error) => tracing::error!(subsystem_name = ENDPOINTS, %error, "Bundle cannot be used for brokers"),
        }
    }
    roots.store(Arc::new(all));
}

async fn bind_tcp(address: &str) -> anyhow::Result<TcpListener> {
    let bound: io::Result<TcpListener> = TcpListener::bind(address).await;
    bound.with_context(|| format!("failed to listen on broker address {address:?}"))
}

const STARTING: &str = "Starting SPIFFE Broker Endpoint";
const BROKER_API: &str = "spiffe.broker.API";
const HEADER: &str = "broker.spiffe.io";
/// A reference and some audiences.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Brokers are few, and each has one connection.
const ACCEPT_LIMITS: AcceptLimits =
    AcceptLimits { handshakes_max: 32, connections_max: 256, connections_per_ip_max: 64, ..AcceptLimits::DEFAULT };
const ACCEPTED_WAITING_MAX: usize = 64;
