//! HTTP/2 serving of accepted connections, with limits, an age for connections and an end for everything.
//!
//! This drives hyper itself rather than through `tonic::transport::Server`, whose `max_connection_age_grace` drops a
//! connection without ever sending GOAWAY, whose ages have no jitter and whose shutdown waits without end.

mod age;
mod connection;
mod deadline;
mod https;
mod leaving;
mod limits;
mod messages;
mod methods;
mod preface;
mod room;

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tonic::transport::server::Connected;
use tower::BoxError;
use tracing::debug;

pub use age::{ConnectionAge, LongCall};
use connection::Ending;
pub use deadline::Deadline;
pub use https::serve_https;
pub use limits::{MESSAGE_BYTES_MAX, ServeLimits};
pub use methods::KnownMethods;
use room::Room;

/// Serves every connection from `incoming` until `shutdown` completes or the senders are gone; then sends GOAWAY to
/// all, spread over `limits.drain_spread`, ends streams after `limits.stream_drain`, waits up to `limits.drain_max`,
/// and drops what is left.
///
/// `service` is usually [`tonic::service::Routes`]. Each request carries the connection's `ConnectInfo`, its
/// [`ConnectionAge`] and, where the client set one, its [`Deadline`] in the extensions.
pub async fn serve<IO, S, B>(
    service: S,
    mut incoming: mpsc::Receiver<IO>,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    S: tower::Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Default + Send + 'static,
    B::Error: Into<BoxError> + Send + Sync,
{
    let (stop, stopping) = watch::channel(());
    let (streams, streams_end) = watch::channel(());
    let ending = Ending { stopping, streams_end };
    let room = Room::new(limits.unfinished_bytes_max);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = incoming.recv() => match accepted {
                Some(io) => {
                    connections.spawn(connection::drive(io, service.clone(), limits, room.share(), ending.clone()));
                }
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    // Acceptors notice that nobody receives, and stop.
    drop(incoming);
    drop(stop);
    let drain = async {
        tokio::select! {
            () = all_gone(&mut connections) => return,
            () = sleep(limits.stream_drain) => drop(streams),
        }
        all_gone(&mut connections).await;
    };
    if timeout(limits.drain_max, drain).await.is_err() {
        debug!(connections = connections.len(), "connections dropped at the end of the drain");
        connections.shutdown().await;
    }
}

async fn all_gone(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}
