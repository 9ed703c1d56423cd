//! From accepted TCP connections to authenticated ones, with every stranger's share of our resources bounded.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::{CertificateError, OtherError, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::config::ACME_TLS;
use super::farewell::farewell;
use super::old_client::refuse_old_client;
use super::{TlsPeer, VerifyError};
use crate::limit::{ConnectionLimit, ConnectionSlot, LimitReached};
use crate::places::{Place, Places};
use crate::proxy::{ProxyError, TrustedProxies};

/// What strangers may use before and after they are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptLimits {
    /// Handshakes going on at one time. Each may hold a 64 KiB message, and all compete for the same cores. Clients
    /// that have said nothing yet are in none.
    pub handshakes_max: usize,
    /// A peer that has not finished its handshake by then is dropped.
    pub handshake_timeout: Duration,
    /// Open connections; keep it below the limit of file descriptors.
    pub connections_max: usize,
    /// Open connections of one IPv4 address or one IPv6 /64. Generous: whole sites sit behind one NAT address.
    pub connections_per_ip_max: usize,
}

/// A source of connections: a TCP listener, or a simulated network.
pub trait Accept: Send + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, SocketAddr)>> + Send;

    /// What a connection goes through before its handshake, within the limits of one. An error ends it. Tells whom the
    /// connection comes from: `remote_addr`, unless that is a proxy.
    fn greet(
        _io: &mut Self::Io,
        remote_addr: SocketAddr,
        _proxies: &TrustedProxies,
    ) -> impl Future<Output = io::Result<SocketAddr>> + Send {
        std::future::ready(Ok(remote_addr))
    }
}

/// A TCP listener that tells clients who speak plain HTTP to it, as Go's does, rather than sending them a TLS alert.
#[derive(Debug)]
pub struct HttpsListener(pub TcpListener);

/// Does handshakes under limits; its TLS configuration is replaced while it runs.
#[derive(Debug)]
pub struct TlsAcceptor {
    config: ArcSwap<ServerConfig>,
    limits: AcceptLimits,
    proxies: TrustedProxies,
    connections: ConnectionLimit<IpAddr>,
    handshakes: Places<IpAddr>,
}

/// An established connection that knows its peer.
#[derive(Debug)]
pub struct TlsConnection<IO> {
    stream: TlsStream<IO>,
    peer: TlsPeer,
    _slot: Option<ConnectionSlot<IpAddr>>,
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    #[error("TLS handshake failed: {0}")]
    Io(#[source] io::Error),
    #[error("client certificate is unreadable")]
    Peer(#[source] VerifyError),
    #[error("a TLS handshake of another address was given the place of this one")]
    GaveWay,
    #[error(transparent)]
    Proxy(ProxyError),
    #[error("TLS handshake took longer than {limit:?}")]
    Timeout { limit: Duration },
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] rustls::Error),
    #[error(transparent)]
    TooMany(LimitReached),
}

impl TlsAcceptor {
    pub fn new(config: Arc<ServerConfig>, limits: AcceptLimits) -> Arc<Self> {
        Self::behind(TrustedProxies::default(), config, limits)
    }

    /// As [`Self::new`], where some of the TCP connections come from load balancers.
    pub fn behind(proxies: TrustedProxies, config: Arc<ServerConfig>, limits: AcceptLimits) -> Arc<Self> {
        let connections = ConnectionLimit::new(limits.connections_max, limits.connections_per_ip_max);
        let handshakes = Places::new(limits.handshakes_max);
        Arc::new(Self { config: ArcSwap::new(config), limits, proxies, connections, handshakes })
    }

    /// For every later handshake. Established connections are not touched; their age limit ends them.
    pub fn reload(&self, config: Arc<ServerConfig>) {
        self.config.store(config);
    }

    /// Connections open now, those in a handshake included.
    pub fn open_connections(&self) -> usize {
        self.connections.open()
    }

    /// Accepts until `ready` has no receiver. A full `ready` holds back new handshakes, not established connections.
    pub async fn run<A: Accept>(self: Arc<Self>, mut listener: A, ready: mpsc::Sender<TlsConnection<A::Io>>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ready.closed() => return,
            };
            let (io, remote_addr) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            };
            let slot = match self.connections.admit(origin(remote_addr.ip())) {
                Ok(slot) => slot,
                Err(reason) => {
                    warn!(%remote_addr, %reason, "connection refused");
                    continue;
                }
            };
            let (acceptor, ready) = (Arc::clone(&self), ready.clone());
            tokio::spawn(async move {
                let outcome = acceptor.welcome::<A>(io, remote_addr, slot).await;
                match outcome {
                    // The handshake was all that was wanted.
                    Ok((connection, _)) if connection.session().alpn_protocol() == Some(ACME_TLS) => {}
                    Ok((connection, _place)) => {
                        // Nobody receives any more: the server is stopping.
                        let _ = ready.send(connection).await;
                    }
                    Err(error) => error.log(remote_addr),
                }
            });
        }
    }

    async fn welcome<A: Accept>(
        &self,
        mut io: A::Io,
        remote_addr: SocketAddr,
        mut slot: ConnectionSlot<IpAddr>,
    ) -> Result<(TlsConnection<A::Io>, Place<IpAddr>), HandshakeError> {
        let limit = self.limits.handshake_timeout;
        let source = timeout(limit, A::greet(&mut io, remote_addr, &self.proxies))
            .await
            .map_err(|_| HandshakeError::Timeout { limit })?
            .map_err(HandshakeError::from_io)?;
        if source != remote_addr {
            // The place at the proxy's address becomes free for its next connection.
            slot = self.connections.admit(origin(source.ip())).map_err(HandshakeError::TooMany)?;
        }
        let place = self.handshakes.wait(origin(source.ip())).await;
        let connection = tokio::select! {
            connection = self.handshake(io, source) => connection?,
            () = place.lost() => return Err(HandshakeError::GaveWay),
        };
        Ok((TlsConnection { _slot: Some(slot), ..connection }, place))
    }

    /// One handshake over any byte stream, under the timeout but outside the counts.
    pub async fn handshake<IO>(&self, io: IO, remote_addr: SocketAddr) -> Result<TlsConnection<IO>, HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.config.load_full());
        let limit = self.limits.handshake_timeout;
        let stream = timeout(limit, acceptor.accept(io))
            .await
            .map_err(|_| HandshakeError::Timeout { limit })?
            .map_err(HandshakeError::from_io)?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = TlsPeer::new(remote_addr, chain).map_err(HandshakeError::Peer)?;
        Ok(TlsConnection { stream, peer, _slot: None })
    }
}

impl AcceptLimits {
    /// Sized for one replica that serves thousands of agents.
    pub const DEFAULT: Self = Self {
        handshakes_max: 256,
        handshake_timeout: Duration::from_secs(5),
        connections_max: 32_768,
        connections_per_ip_max: 8_192,
    };
}

impl<IO> TlsConnection<IO> {
    pub fn peer(&self) -> &TlsPeer {
        &self.peer
    }

    /// The TLS session, for its exporter.
    pub fn session(&self) -> &ServerConnection {
        self.stream.get_ref().1
    }
}

impl HandshakeError {
    fn from_io(error: io::Error) -> Self {
        let error = match error.downcast::<rustls::Error>() {
            Ok(tls) => return Self::Tls(tls),
            Err(error) => error,
        };
        match error.downcast::<ProxyError>() {
            Ok(proxy) => Self::Proxy(proxy),
            Err(error) => Self::Io(error),
        }
    }

    /// A refused certificate or proxy is worth an operator's attention; port scanners and health probes are not.
    fn log(&self, remote_addr: SocketAddr) {
        match self {
            Self::Tls(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason)))) => {
                warn!(%remote_addr, %reason, "client certificate refused");
            }
            Self::Tls(rustls::Error::InvalidCertificate(reason)) => {
                warn!(%remote_addr, %reason, "client certificate refused");
            }
            Self::Proxy(reason) => warn!(%remote_addr, %reason, "connection refused"),
            Self::TooMany(reason) => warn!(%remote_addr, %reason, "connection refused"),
            other => debug!(%remote_addr, error = %other, "handshake failed"),
        }
    }
}

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, remote_addr) = TcpListener::accept(self).await?;
        // Small gRPC messages must not wait for Nagle; failing to say so is no reason to drop the peer.
        let _ = stream.set_nodelay(true);
        Ok((stream, remote_addr))
    }

    async fn greet(io: &mut TcpStream, remote_addr: SocketAddr, proxies: &TrustedProxies) -> io::Result<SocketAddr> {
        let source = proxies.source(io, remote_addr).await?;
        refuse_old_client(io).await?;
        Ok(source)
    }
}

/// Its peers are known by their certificates alone, and are one origin.
impl Accept for UnixListener {
    type Io = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, _) = UnixListener::accept(self).await?;
        Ok((stream, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
    }
}

impl Accept for HttpsListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        Accept::accept(&mut self.0).await
    }

    async fn greet(io: &mut TcpStream, remote_addr: SocketAddr, _: &TrustedProxies) -> io::Result<SocketAddr> {
        let mut first = [0];
        io.peek(&mut first).await?;
        // A TLS record begins with its type, 22; a request with the letters of its method.
        if first[0].is_ascii_uppercase() {
            farewell(io, PLAIN_HTTP).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "client speaks HTTP without TLS"));
        }
        refuse_old_client(io).await?;
        Ok(remote_addr)
    }
}

impl<IO> Connected for TlsConnection<IO> {
    type ConnectInfo = TlsPeer;

    fn connect_info(&self) -> TlsPeer {
        self.peer.clone()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsConnection<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsConnection<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A stranger with an IPv6 address commands a whole /64, so that is what counts as one origin.
fn origin(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// Without file descriptors `accept` fails at once, over and over: wait for some to come back.
pub(crate) async fn pause_after(error: &io::Error) {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    warn!(%error, "cannot accept connections; check the limit of open files");
    sleep(ACCEPT_PAUSE).await;
}

/// Go's words.
const PLAIN_HTTP: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ipv6_network_is_one_origin() {
        let same = ["2001:db8::1", "2001:db8::ffff:1"].map(|ip| origin(ip.parse().unwrap()));
        assert_eq!(same[0], same[1]);
        assert_ne!(same[0], origin("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(origin("::ffff:10.0.0.1".parse().unwrap()), origin("10.0.0.1".parse().unwrap()));
    }
}
