//! HTTPS for whoever fetches a document: HTTP/1.1 and HTTP/2 as the handshake chose, short lives, small requests.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::BoxError;
use tracing::debug;

use crate::tls::TlsConnection;

/// Serves every connection from `incoming` until `shutdown`, and then drops them: no answer takes long.
pub async fn serve_https<IO, S, B>(
    service: S,
    mut incoming: mpsc::Receiver<TlsConnection<IO>>,
    shutdown: impl Future<Output = ()>,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            accepted = incoming.recv() => match accepted {
                Some(io) => drop(connections.spawn(drive(io, service.clone()))),
                None => return,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn drive<IO, S, B>(io: TlsConnection<IO>, service: S)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: tower::Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let speaks_http2 = io.session().alpn_protocol() == Some(b"h2");
    let builder = builder(speaks_http2);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service)));
    let outcome = match timeout(CONNECTION_AGE, connection.as_mut()).await {
        Ok(outcome) => outcome,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            // Whoever has not finished by then reads too slowly to be waited for.
            timeout(CONNECTION_AGE_GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = outcome {
        debug!(%error, "HTTPS connection failed");
    }
}

fn builder(speaks_http2: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_MAX).max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(PENDING_RESET_STREAMS_MAX)
        .max_local_error_reset_streams(ERROR_RESET_STREAMS_MAX)
        .max_send_buf_size(SEND_BYTES_MAX);
    if speaks_http2 { builder.http2_only() } else { builder.http1_only() }
}

/// A client fetches one document and is gone; one that stays dials again.
const CONNECTION_AGE: Duration = Duration::from_secs(60);
const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(10);
/// As Go's bundle endpoint has it.
const HEADER_READ_MAX: Duration = Duration::from_secs(10);
const HEADER_BYTES_MAX: usize = 16 * 1024;
const STREAMS_MAX: u32 = 16;
const SEND_BYTES_MAX: usize = 64 * 1024;
/// "Rapid reset" (CVE-2023-44487).
const PENDING_RESET_STREAMS_MAX: usize = 16;
const ERROR_RESET_STREAMS_MAX: usize = 64;
