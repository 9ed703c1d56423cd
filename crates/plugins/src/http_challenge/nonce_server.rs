//! Serves one small document at one path, to anybody, while an attestation lasts.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Listens on every address of the host; port 0 is any.
pub(super) async fn listen(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        // A host without IPv6.
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    }
}

/// Answers requests for `path` with `nonce` and a newline until it is dropped.
pub(super) async fn serve(listener: TcpListener, path: String, nonce: String) -> Infallible {
    let (path, document) = (Arc::<str>::from(path), Bytes::from(nonce + "\n"));
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // The semaphore is never closed.
        let permit = Arc::clone(&permits).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: others give theirs back.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (path, document) = (Arc::clone(&path), document.clone());
        let service = service_fn(move |request| {
            let answer = answer(&request, &path, &document);
            async move { Ok::<_, Infallible>(answer) }
        });
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(CONNECTION_MAX)
                .keep_alive(false)
                .max_buf_size(HEADER_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off is no event.
            let _ = tokio::time::timeout(CONNECTION_MAX, connection).await;
            drop(permit);
        });
    }
}

fn answer(request: &Request<Incoming>, path: &str, document: &Bytes) -> Response<Full<Bytes>> {
    let (status, body) = match request.uri().path() == path {
        true => (StatusCode::OK, document.clone()),
        false => (StatusCode::NOT_FOUND, Bytes::from_static(b"404 page not found\n")),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The server asks once.
const CONNECTIONS_MAX: usize = 64;
/// As SPIRE's agent has it for reading and for writing.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const HEADER_BYTES_MAX: usize = 16 * 1024;
