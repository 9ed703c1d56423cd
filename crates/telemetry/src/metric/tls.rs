//! TLS on the Prometheus listener (`telemetry { Prometheus { tls { } } }`).

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use steeple_config::PrometheusTls;
use steeple_core::{Clock, IdError, SpiffeId};
use steeple_transport::serve::serve_https;
use steeple_transport::tls::{
    AcceptLimits, CertFiles, CertFilesError, ClientIdVerifier, HttpsListener, IdentityStore, KeyExchange, SharedRoots,
    TlsAcceptor, WebRootsError, https_server_config_for, web_clients,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the program itself shows and whom it believes, for `use_spire_svid` and `authorized_spiffe_ids`. Both may come
/// later: until then connections wait in the listener's backlog.
#[derive(Clone)]
pub struct OwnTls {
    pub svid: Arc<IdentityStore>,
    pub roots: SharedRoots,
    pub key_exchange: KeyExchange,
    pub clock: Arc<dyn Clock>,
}

#[derive(Debug, thiserror::Error)]
pub enum MetricTlsError {
    #[error(transparent)]
    CertFiles(#[from] CertFilesError),
    #[error("cannot read client_ca_file {path}: {source}")]
    ReadClientCa { path: String, source: std::io::Error },
    #[error("client_ca_file {path}: {reason}")]
    ClientCa { path: String, reason: String },
    #[error("client_ca_file has no usable certificate: {0}")]
    ClientRoots(#[from] WebRootsError),
    #[error("invalid authorized SPIFFE ID {id:?}: {source}")]
    AuthorizedId { id: String, source: IdError },
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// A TLS configuration, and the files that it shows.
pub(super) struct MetricTls {
    config: Arc<ServerConfig>,
    files: Option<Arc<CertFiles>>,
    /// Awaited before the first handshake.
    svid: Option<Arc<IdentityStore>>,
}

impl MetricTls {
    /// Reads the files; that the settings fit together is known.
    pub fn new(settings: &PrometheusTls, own: &OwnTls) -> Result<Self, MetricTlsError> {
        let clients = clients(settings, own)?;
        let (shown, files): (Arc<dyn ResolvesServerCert>, _) = match settings.use_spire_svid {
            true => (Arc::<IdentityStore>::clone(&own.svid), None),
            false => {
                let files = CertFiles::load(Path::new(&settings.cert_file), Path::new(&settings.key_file))?;
                (Arc::<CertFiles>::clone(&files), Some(files))
            }
        };
        let config = https_server_config_for(clients, shown, own.key_exchange, Arc::clone(&own.clock))?;
        // Who has an SVID has the roots, by which SPIFFE IDs of clients are believed.
        let needs_own = settings.use_spire_svid || !settings.authorized_spiffe_ids.is_empty();
        let svid = needs_own.then(|| Arc::clone(&own.svid));
        Ok(Self { config, files, svid })
    }

    /// Until `stop`.
    pub fn serve(self, listener: TcpListener, router: Router, tasks: &TaskTracker, stop: &CancellationToken) {
        if let Some(files) = self.files {
            tasks.spawn(files.watch(FILES_READ_AGAIN, stop.clone().cancelled_owned()));
        }
        let service = tower::service_fn(move |request| {
            let mut router = router.clone();
            async move {
                let answered: Result<_, Infallible> = tower::Service::call(&mut router, request).await;
                answered
            }
        });
        let (accepted, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
        let acceptor = TlsAcceptor::new(self.config, LIMITS);
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            if let Some(svid) = self.svid {
                svid.published().await;
            }
            acceptor.run(HttpsListener(listener), accepted).await;
        }));
        tasks.spawn(serve_https(service, incoming, stop.clone().cancelled_owned()));
    }
}

fn clients(settings: &PrometheusTls, own: &OwnTls) -> Result<Arc<dyn ClientCertVerifier>, MetricTlsError> {
    if !settings.client_ca_file.is_empty() {
        return Ok(web_clients(&certificates(&settings.client_ca_file)?)?);
    }
    if settings.authorized_spiffe_ids.is_empty() {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let ids = settings
        .authorized_spiffe_ids
        .iter()
        .map(|id| SpiffeId::parse(id).map_err(|source| MetricTlsError::AuthorizedId { id: id.clone(), source }));
    let authorized: Vec<SpiffeId> = ids.collect::<Result<_, _>>()?;
    let permits = Arc::new(move |id: &SpiffeId| authorized.contains(id));
    Ok(ClientIdVerifier::required(Arc::clone(&own.roots), permits))
}

/// DER, in the order of the file.
fn certificates(path: &str) -> Result<Vec<Vec<u8>>, MetricTlsError> {
    let text = std::fs::read(path).map_err(|source| MetricTlsError::ReadClientCa { path: path.to_owned(), source })?;
    let unusable = |reason: String| MetricTlsError::ClientCa { path: path.to_owned(), reason };
    let blocks = pem::parse_many(text).map_err(|error| unusable(error.to_string()))?;
    let certificates: Vec<_> =
        blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE").map(pem::Pem::into_contents).collect();
    if certificates.is_empty() { Err(unusable("no certificate in it".to_owned())) } else { Ok(certificates) }
}

/// Scrapers open a handful.
const LIMITS: AcceptLimits = AcceptLimits {
    handshakes_max: 16,
    handshake_timeout: Duration::from_secs(5),
    connections_max: 64,
    connections_per_ip_max: 64,
};
const ACCEPTED_WAITING_MAX: usize = 16;
/// Certificate files that were replaced are noticed within.
const FILES_READ_AGAIN: Duration = Duration::from_secs(60);
