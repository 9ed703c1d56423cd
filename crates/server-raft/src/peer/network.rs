//! What lies between peers: TCP, or whatever a simulation puts in its place.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

/// A way to peers.
pub trait PeerNetwork: Send + Sync {
    /// Connects to `host:port`, resolved anew each time.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<PeerStream>>;

    /// Takes the address. Nobody is listened to before [`Bound::listen`].
    fn bind(&self, address: SocketAddr) -> io::Result<Box<dyn Bound>>;
}

/// An address that is taken.
pub trait Bound: Send + Sync {
    /// With the port that was given, also when port 0 was asked for.
    fn address(&self) -> io::Result<SocketAddr>;

    fn listen(self: Box<Self>) -> io::Result<Box<dyn Connections>>;
}

/// Those that arrive at a port.
pub trait Connections: Send {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(PeerStream, SocketAddr)>>;
}

pub type PeerStream = Box<dyn Stream>;

/// A connection's bytes, in order.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// Ready when the other side has said something, or is gone.
    fn poll_spoken(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// The network of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl PeerNetwork for Tcp {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<PeerStream>> {
        Box::pin(async move { connect_to_any(lookup_host(address).await?).await.and_then(prepared) })
    }

    fn bind(&self, address: SocketAddr) -> io::Result<Box<dyn Bound>> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restarted server takes its port back although old connections linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Box::new(socket))
    }
}

impl Bound for TcpSocket {
    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn listen(self: Box<Self>) -> io::Result<Box<dyn Connections>> {
        Ok(Box::new(TcpSocket::listen(*self, BACKLOG)?))
    }
}

impl Connections for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(PeerStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, remote) = TcpListener::accept(self).await?;
            Ok((prepared(stream)?, remote))
        })
    }
}

impl Stream for TcpStream {
    fn poll_spoken(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(context)
    }
}

/// Of the addresses that a name has, asked at once: one that is silent takes no time from the others.
async fn connect_to_any(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts: FuturesUnordered<_> = addresses.take(ADDRESSES_MAX).map(TcpStream::connect).collect();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut failures = 0;
    while let Some(connected) = attempts.next().await {
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) if failures == 0 || is_refusal(&failure) => failure = error,
            Err(_) => {}
        }
        failures += 1;
    }
    Err(failure)
}

/// Somebody is there and says that nobody listens. Of a name this is true only when all of its addresses say so.
fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Heartbeats must not wait for Nagle.
fn prepared(stream: TcpStream) -> io::Result<PeerStream> {
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Connections that the kernel completes ahead of the accept loop.
const BACKLOG: u32 = 128;
/// As many as there can be members, for the name of all of them.
const ADDRESSES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: [u8; 4], port: u16) -> SocketAddr {
        SocketAddr::from((host, port))
    }

    #[tokio::test]
    async fn one_of_many_addresses_is_enough_and_only_all_of_them_refuse() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Nobody listens at the second, and packets to the last have nowhere to go.
        let (served, refused, unusable) =
            (at([127, 0, 0, 1], port), at([127, 0, 0, 2], port), at([255, 255, 255, 255], port));
        let connect = |addresses: Vec<SocketAddr>| connect_to_any(addresses.into_iter());
        for addresses in [vec![refused, served], vec![unusable, refused, served], vec![served]] {
            assert_eq!(connect(addresses).await.unwrap().peer_addr().unwrap(), served);
        }
        assert!(is_refusal(&connect(vec![refused, refused]).await.unwrap_err()));
        for addresses in [vec![refused, unusable], vec![unusable, refused], vec![]] {
            assert!(!is_refusal(&connect(addresses.clone()).await.unwrap_err()), "{addresses:?}");
        }
    }
}
