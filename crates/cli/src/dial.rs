//! gRPC over a Unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use steeple_core::system_words;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// The socket did not take the connection.
#[derive(Debug, thiserror::Error)]
#[error("dial unix {}: connect: {}", path.display(), system_words(source))]
pub struct DialError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// A channel that connects with its first call, so that arguments are checked before the network, as in SPIRE.
/// Must be called on a tokio runtime.
pub fn connect(path: &Path) -> Channel {
    let path = path.to_owned();
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move {
            match UnixStream::connect(&path).await {
                Ok(stream) => Ok(TokioIo::new(stream)),
                Err(source) => Err(DialError { path, source }),
            }
        }
    });
    // The host becomes `:authority`: a socket path is no valid one, and servers accept this name.
    Endpoint::from_static("http://localhost").connect_timeout(CONNECT_MAX).connect_with_connector_lazy(connector)
}

/// A server whose accept queue is full must not hold a command for ever.
const CONNECT_MAX: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::client::Grpc;

    #[tokio::test]
    async fn a_missing_socket_is_told_as_grpc_go_tells_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none.sock");
        let error = Grpc::new(connect(&path)).ready().await;
        // The lazy channel is ready at once; the call fails.
        error.unwrap();
        let mut client = tonic::client::Grpc::new(connect(&path));
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let status = client
            .unary(tonic::Request::new(()), http::uri::PathAndQuery::from_static("/a.B/C"), codec)
            .await
            .unwrap_err();
        assert_eq!(
            crate::rpc_error(&status),
            format!(
                "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial \
                 unix {}: connect: no such file or directory\"",
                path.display()
            )
        );
    }
}
