//! The listener that the configuration asks for.

use std::sync::Arc;

use axum::Router;
use rustls::ServerConfig;
use steeple_acme::{CacheDir, CacheDirError, Directory, Keeper, WebCertificates};
use steeple_config::{OidcAcmeSettings, OidcListener, OidcSettings};
use steeple_core::SystemClock;
use steeple_telemetry::HttpError;
use steeple_transport::serve::serve_https;
use steeple_transport::tls::{
    AcceptLimits, CertFiles, CertFilesError, HttpsListener, KeyExchange, TlsAcceptor, acme_server_config,
    https_server_config,
};
use steeple_transport::uds::{BindError, BindModes, UdsListener};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::KeySet;
use crate::handler::Handler;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    #[error(transparent)]
    Listen(#[from] HttpError),
    #[error(transparent)]
    Socket(#[from] BindError),
    #[error(transparent)]
    Certificate(#[from] CertFilesError),
    #[error(transparent)]
    Cache(#[from] CacheDirError),
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Binds, then serves in `tasks` until `stop`. Where certificates come from an ACME server, `by_acme` has them; in a
/// process of its own, they are ordered here.
pub async fn serve(
    settings: &OidcSettings,
    keys: Arc<KeySet>,
    by_acme: Option<Arc<WebCertificates>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), ServeError> {
    let over_tls = matches!(settings.listener, OidcListener::Acme { .. } | OidcListener::Tls { .. });
    let router = Handler { settings: settings.clone(), keys, over_tls }.router();
    let stopped = stop.clone().cancelled_owned();
    match &settings.listener {
        OidcListener::Insecure(address) => {
            let listener = steeple_telemetry::bind(address, "insecure_addr").await?;
            tracing::warn!(address = %address, "Serving HTTP (insecure)");
            tasks.spawn(steeple_telemetry::serve(listener, router, stopped));
        }
        OidcListener::Socket(path) => {
            // Who may read public keys is no secret; the directory decides who gets here.
            let listener = UdsListener::bind(path, BindModes { dir: 0o755, socket: 0o777 })?.into_inner();
            tracing::info!(network = "unix", address = %path.display(), "Serving HTTP");
            tasks.spawn(steeple_telemetry::serve(listener, router, stopped));
        }
        OidcListener::Tls { listen, cert } => {
            let files = CertFiles::load(&cert.cert_file_path, &cert.key_file_path)?;
            let listener = steeple_telemetry::bind(listen, "serving_cert_file.addr").await?;
            tracing::info!(
                cert_file_path = %cert.cert_file_path.display(),
                address = %listen,
                "Serving HTTPS using certificate loaded from disk"
            );
            tasks.spawn(Arc::clone(&files).watch(cert.file_sync_interval, stop.clone().cancelled_owned()));
            let config = https_server_config(files, KeyExchange::Compatible, Arc::new(SystemClock));
            serve_tls(HttpsListener(listener), config, router, tasks, stop)?;
        }
        OidcListener::Acme { listen, acme } => {
            let shown = match by_acme {
                Some(shown) => shown,
                None => order_here(acme, &settings.domains, tasks, stop)?,
            };
            let listener = steeple_telemetry::bind(listen, "acme.addr").await?;
            tracing::info!(address = %listen, "Serving HTTPS via ACME");
            let config = acme_server_config(shown, KeyExchange::Compatible, Arc::new(SystemClock));
            serve_tls(HttpsListener(listener), config, router, tasks, stop)?;
        }
    }
    Ok(())
}

/// Keeps what it obtains in the cache directory.
fn order_here(
    acme: &OidcAcmeSettings,
    domains: &[String],
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Arc<WebCertificates>, ServeError> {
    let store = CacheDir::open(acme.cache_dir.clone(), domains)?;
    let shown = store.shown();
    let keeper = Keeper {
        directory: Directory { url: acme.directory_url.clone(), email: acme.email.clone(), tos_accepted: true },
        domains: domains.to_vec(),
        store,
        clock: Arc::new(SystemClock),
        ended: |_, _| {},
    };
    let stop = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = keeper.run() => {}
            () = stop.cancelled() => {}
        }
    });
    Ok(shown)
}

fn serve_tls(
    listener: HttpsListener,
    config: Result<Arc<ServerConfig>, rustls::Error>,
    router: Router,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), ServeError> {
    let config = config.map_err(|error| ServeError::Tls(error.to_string()))?;
    let acceptor = TlsAcceptor::new(config, AcceptLimits::DEFAULT);
    let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
    tasks.spawn(acceptor.run(listener, ready));
    tasks.spawn(serve_https(router, incoming, stop.clone().cancelled_owned()));
    Ok(())
}

/// Handshakes done and not yet picked up.
const ACCEPTED_WAITING_MAX: usize = 16;
