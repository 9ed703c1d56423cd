//! The listener that the configuration asks for.

use std::sync::Arc;

use axum::Router;
use steeple_config::{OidcListener, OidcSettings};
use steeple_core::SystemClock;
use steeple_telemetry::HttpError;
use steeple_transport::serve::serve_https;
use steeple_transport::tls::{
    AcceptLimits, CertFiles, CertFilesError, HttpsListener, KeyExchange, TlsAcceptor, https_server_config,
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
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Binds, then serves in `tasks` until `stop`.
pub async fn serve(
    settings: &OidcSettings,
    keys: Arc<KeySet>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), ServeError> {
    let over_tls = matches!(settings.listener, OidcListener::Tls { .. });
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
            serve_tls(HttpsListener(listener), files, router, tasks, stop)?;
        }
    }
    Ok(())
}

fn serve_tls(
    listener: HttpsListener,
    files: Arc<CertFiles>,
    router: Router,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), ServeError> {
    let config = https_server_config(files, KeyExchange::Compatible, Arc::new(SystemClock));
    let config = config.map_err(|error| ServeError::Tls(error.to_string()))?;
    let acceptor = TlsAcceptor::new(config, AcceptLimits::DEFAULT);
    let (ready, incoming) = mpsc::channel(ACCEPTED_WAITING_MAX);
    tasks.spawn(acceptor.run(listener, ready));
    tasks.spawn(serve_https(router, incoming, stop.clone().cancelled_owned()));
    Ok(())
}

/// Handshakes done and not yet picked up.
const ACCEPTED_WAITING_MAX: usize = 16;
