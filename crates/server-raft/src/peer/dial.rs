//! Connections to peers: resolved anew at every dial, with a bound on how long that may take.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Uri;
use tower::Service;

use super::network::{PeerNetwork, PeerStream};

/// Peers are near; one that does not answer within this is tried again later.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// rustls wants a name to send; peers are known by their certificate's URI instead.
const SERVER_NAME: &str = "peer.steeple.internal";

/// Dials one address over TLS, whatever URI tonic asks for.
#[derive(Clone)]
pub(super) struct Connector {
    network: Arc<dyn PeerNetwork>,
    address: Arc<str>,
    tls: Arc<ClientConfig>,
}

impl Connector {
    pub(super) fn new(network: Arc<dyn PeerNetwork>, address: &str, tls: Arc<ClientConfig>) -> Self {
        Self { network, address: address.into(), tls }
    }
}

/// One TLS connection to `address` (`host:port`).
pub(super) async fn dial(
    network: &dyn PeerNetwork,
    address: &str,
    tls: Arc<ClientConfig>,
) -> io::Result<TlsStream<PeerStream>> {
    let connect = async {
        let stream = network.connect(address).await?;
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        TlsConnector::from(tls).connect(name, stream).await
    };
    match tokio::time::timeout(DIAL_TIMEOUT, connect).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("peer {address} did not answer the dial"))),
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<PeerStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let Self { network, address, tls } = self.clone();
        Box::pin(async move { dial(network.as_ref(), &address, tls).await.map(TokioIo::new) })
    }
}
