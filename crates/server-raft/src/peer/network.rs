//! What lies between peers: TCP, or whatever a simulation puts in its place.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

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
        Box::pin(async move { TcpStream::connect(address).await.and_then(prepared) })
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

/// Heartbeats must not wait for Nagle.
fn prepared(stream: TcpStream) -> io::Result<PeerStream> {
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

/// Connections that the kernel completes ahead of the accept loop.
const BACKLOG: u32 = 128;
