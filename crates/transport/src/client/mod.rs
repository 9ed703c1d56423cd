//! Channels: to a server at one of several addresses, and to a Unix socket; and documents over HTTPS.

mod dial;
mod https;
mod order;
mod unprocessed;

use std::path::Path;
use std::time::Duration;

use http::uri::{Authority, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

pub use dial::{DialError, ServerDialer};
pub use https::{HttpsError, HttpsReply};
pub use https::{get_over, http_get, http_request, https_get, https_post, https_request, unix_get};
pub(crate) use order::random;
pub use unprocessed::is_unprocessed;

/// A channel that dials on first use and again whenever its connection is gone: each dial resolves names anew and goes
/// through the addresses, so a call is tried on every replica before it fails as `Unavailable`.
///
/// `authority` is what `:authority` says, usually the configured `host:port`.
///
/// A call that meets a connection at the end of its age fails; [`is_unprocessed`] tells that it may be repeated.
///
/// A server that keeps its connection but hangs fails the calls that wait for it as `Unavailable`: it is pinged while
/// there are any.
pub fn server_channel(dialer: ServerDialer, authority: Authority) -> Result<Channel, http::Error> {
    let uri = Uri::builder().scheme("https").authority(authority).path_and_query("/").build()?;
    let endpoint = Endpoint::from(uri)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(false);
    Ok(endpoint.connect_with_connector_lazy(dialer))
}

/// A channel to a Unix socket; it dials on first use.
pub fn uds_channel(path: &Path) -> Channel {
    let path = path.to_owned();
    let connector = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
}

/// grpc-go servers take three pings without an answer of theirs in between, and GOAWAY "too_many_pings" follows: calls
/// to servers last 30 s at most.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
