//! Connections as agents open them, one source address for each agent, every byte counted.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use steeple_transport::client::is_unprocessed;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::traffic::{Counted, Traffic};

/// Dials the servers of one target for one agent.
#[derive(Clone)]
pub(crate) struct Dialer {
    addresses: Arc<[SocketAddr]>,
    /// The address that is dialled first, counted through; the next one after a failure.
    first: Arc<AtomicUsize>,
    /// SPIRE's limits go by address, and a port is free for each.
    source: Option<Ipv4Addr>,
    tls: Arc<ClientConfig>,
    traffic: Arc<Traffic>,
}

impl Dialer {
    pub(crate) fn new(
        addresses: &Arc<[SocketAddr]>,
        agent: usize,
        tls: Arc<ClientConfig>,
        traffic: &Arc<Traffic>,
    ) -> Self {
        let local = addresses.iter().all(|address| address.ip().is_loopback() && address.is_ipv4());
        Self {
            addresses: Arc::clone(addresses),
            first: Arc::new(AtomicUsize::new(agent)),
            source: local.then(|| own_address(agent)),
            tls,
            traffic: Arc::clone(traffic),
        }
    }

    /// A channel that dials at the first call, and again when its connection is gone. Drop it for a new connection.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_static("https://server").connect_with_connector_lazy(self.clone())
    }

    /// Another replica is dialled next.
    pub(crate) fn turn_away(&self) {
        self.first.fetch_add(1, Ordering::Relaxed);
    }

    async fn dial(&self) -> io::Result<TlsStream<Counted>> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "no address of a server");
        for _ in 0..self.addresses.len() {
            let address = self.addresses[self.first.load(Ordering::Relaxed) % self.addresses.len()];
            match timeout(ATTEMPT_MAX, self.connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::Error::new(io::ErrorKind::TimedOut, "no handshake in time"),
            }
            self.turn_away();
        }
        Err(failure)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<Counted>> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = self.source {
            // Other agents may have the same port.
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(IpAddr::V4(source), 0))?;
        }
        let tcp: TcpStream = socket.connect(address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::IpAddress(address.ip().into());
        let counted = Counted::new(tcp, Arc::clone(&self.traffic));
        TlsConnector::from(Arc::clone(&self.tls)).connect(name, counted).await
    }
}

impl tower::Service<Uri> for Dialer {
    type Response = TokioIo<TlsStream<Counted>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move { dialer.dial().await.map(TokioIo::new) })
    }
}

/// Repeats a call once that met a connection at the end of its age, as grpc-go does by itself.
pub(crate) async fn repeated<T, F>(channel: &Channel, call: impl Fn(Channel) -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    match call(channel.clone()).await {
        Err(status) if is_unprocessed(&status) => call(channel.clone()).await,
        outcome => outcome,
    }
}

/// 127.1.0.1 and on; the network has room for more agents than one process drives.
fn own_address(agent: usize) -> Ipv4Addr {
    let [_, high, middle, low] = (u32::try_from(agent).unwrap_or(0) % ADDRESSES + 1).to_be_bytes();
    Ipv4Addr::new(127, 1 + high, middle, low)
}

const ATTEMPT_MAX: Duration = Duration::from_secs(10);
const ADDRESSES: u32 = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_have_addresses_of_their_own() {
        assert_eq!(own_address(0), Ipv4Addr::new(127, 1, 0, 1));
        assert_eq!(own_address(65_535), Ipv4Addr::new(127, 2, 0, 0));
        let all: std::collections::BTreeSet<Ipv4Addr> = (0..20_000).map(own_address).collect();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(Ipv4Addr::is_loopback));
    }
}
