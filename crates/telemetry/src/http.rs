//! A small HTTP/1 server for probes, scrapes and small documents, with every resource bounded.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use steeple_config::HostPort;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot listen on {listen}: {source}; stop what is using the port, or set {key}")]
    Listen { listen: HostPort, key: &'static str, source: io::Error },
}

/// `listen` comes from the configuration's `key`, which the error names.
pub async fn bind(listen: &HostPort, key: &'static str) -> Result<TcpListener, HttpError> {
    let bound = TcpListener::bind((listen.host.as_str(), listen.port)).await;
    bound.map_err(|source| HttpError::Listen { listen: listen.clone(), key, source })
}

/// As [`bind`], for health checks, and says so as SPIRE does.
pub async fn bind_health(listen: &HostPort) -> Result<TcpListener, HttpError> {
    let listener = bind(listen, "health_checks.bind_port").await?;
    tracing::info!(subsystem_name = "health", address = %listen, "Serving health checks");
    Ok(listener)
}

/// Serves until `stop` ends, then breaks off what is open. Connections beyond [`CONNECTIONS_MAX`] wait in the kernel's
/// queue.
pub async fn serve(listener: impl Listener, router: Router, stop: impl Future<Output = ()>) {
    tokio::select! {
        () = stop => {}
        () = accept(listener, router) => {}
    }
}

async fn accept(mut listener: impl Listener, router: Router) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        // Waits and tries again when the process is out of file descriptors.
        let (stream, _) = listener.accept().await;
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_READ_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // A client that breaks off is no event.
            let _ = tokio::time::timeout(CONNECTION_MAX, connection).await;
            drop(permit);
        });
    }
}

/// Probes and scrapers open a handful.
const CONNECTIONS_MAX: usize = 64;
/// A client that sends its request more slowly than this is not one of ours.
const HEADER_READ_MAX: Duration = Duration::from_secs(5);
/// Also the longest that a kept-alive connection lives, so that a stuck one frees its place.
const CONNECTION_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn start() -> (std::net::SocketAddr, tokio::sync::oneshot::Sender<()>) {
        let listener = bind(&HostPort::new("localhost", 0), "port").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(async || "hello");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(serve(listener, router, async { stopped.await.unwrap_or_default() }));
        (address, stop)
    }

    async fn send(address: std::net::SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    }

    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_finish_its_request_is_dropped() {
        let (address, _stop) = start().await;
        let begun = tokio::time::Instant::now();
        assert!(!send(address, "GET / HT").await.contains("hello"));
        assert!(begun.elapsed() >= HEADER_READ_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_cannot_keep_others_out() {
        let (address, _stop) = start().await;
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        assert!(send(address, REQUEST).await.ends_with("hello"));
    }

    #[tokio::test]
    async fn it_stops_when_told_and_a_used_port_is_named() {
        let (address, stop) = start().await;
        assert!(send(address, REQUEST).await.starts_with("HTTP/1.1 200 OK\r\n"));
        let error = bind(&HostPort::new("localhost", address.port()), "health.port").await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on localhost:{}: ", address.port())), "{error}");
        assert!(error.ends_with("; stop what is using the port, or set health.port"), "{error}");
        stop.send(()).unwrap();
        // The listener goes with the task; wait until the kernel refuses.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
