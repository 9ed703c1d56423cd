//! The life of one connection: serve, be told to go, finish, be dropped.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tonic::transport::server::Connected;
use tower::{BoxError, service_fn};
use tracing::debug;

use super::age::ConnectionAge;
use super::deadline::{Deadline, before};
use super::leaving::Leaving;
use super::limits::ServeLimits;
use super::messages::{Encoding, Messages};
use super::preface::Prefaced;
use super::room::Share;
use crate::client::random;

/// What connections are told of the server's end, each by the end of a sender.
#[derive(Clone)]
pub(super) struct Ending {
    /// The server shuts down.
    pub stopping: watch::Receiver<()>,
    /// Calls may finish, streams end.
    pub streams_end: watch::Receiver<()>,
}

/// Ends when the connection does.
pub(super) async fn drive<IO, S, B>(io: IO, service: S, limits: ServeLimits, share: Share, ending: Ending)
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    S: tower::Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Default + Send + 'static,
    B::Error: Into<BoxError> + Send + Sync,
{
    let Ending { mut stopping, streams_end } = ending;
    let connect_info = io.connect_info();
    let io = tokio::select! {
        io = Prefaced::read(io, limits.preface_timeout) => io,
        // Nothing was asked yet, so nothing is lost.
        _ = stopping.changed() => return,
    };
    let io = match io {
        Ok(io) => io,
        Err(error) => {
            debug!(%error, "connection dropped");
            return;
        }
    };
    let connection_age = ConnectionAge::new();
    let of_requests = connection_age.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let encoding = Encoding::take(request.headers_mut());
        request.extensions_mut().insert(connect_info.clone());
        request.extensions_mut().insert(of_requests.clone());
        let deadline = Deadline::of(request.headers());
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let (mut service, share, streams_end) = (service.clone(), share.clone(), streams_end.clone());
        let answer = before(deadline, async move {
            let encoding = match encoding {
                Ok(encoding) => encoding,
                Err(status) => return Ok(status.into_http()),
            };
            std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request.map(|body| Body::new(Messages::new(body, encoding, share)))).await
        });
        async move { answer.await.map(|response| response.map(|body| Leaving::new(body, streams_end))) }
    });
    let mut connection = pin!(limits.http2().serve_connection(TokioIo::new(io), TowerToHyperService::new(service)));

    let told_to_go = async {
        let age = connection_age.reached(limits.connection_age.map(jittered), jittered(limits.long_connection_age));
        tokio::select! {
            () = age => limits.connection_age_grace,
            _ = stopping.changed() => {
                sleep(limits.drain_spread.mul_f64(fraction())).await;
                limits.drain_max
            }
        }
    };
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        grace = told_to_go => {
            connection.as_mut().graceful_shutdown();
            connection_age.end();
            match timeout(grace, connection).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    debug!("connection dropped: calls still open after the grace period");
                    return;
                }
            }
        }
    };
    if let Err(error) = outcome {
        debug!(%error, "connection failed");
    }
}

/// Clients that came together must not come back together. A tenth either way, as in grpc-go.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(0.9 + 0.2 * fraction())
}

/// In [0, 1).
fn fraction() -> f64 {
    (random() >> 11) as f64 / (1_u64 << 53) as f64
}
