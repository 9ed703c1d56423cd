//! The simulated network where a server expects TCP: between peers, under TLS for agents, and in the place of the admin
//! socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use steeple_server_raft::peer::{Bound, Connections, PeerNetwork, PeerStream, Stream};
use steeple_transport::tls::Accept;
use steeple_transport::uds::UdsPeer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;
use tonic::transport::server::Connected;
use turmoil::net::{TcpListener, TcpStream};

pub const PEER_PORT: u16 = 8082;
pub const API_PORT: u16 = 8081;
pub const ADMIN_PORT: u16 = 1;

/// Between peers.
pub struct Wire;

/// A simulated connection.
pub struct Simulated(TcpStream);

/// One to the admin socket. Who has it is the server's own user.
pub struct Local(Simulated);

/// Takes connections at a port of the node that it is made on.
pub struct Port {
    address: SocketAddr,
    listener: Option<TcpListener>,
}

/// turmoil refuses at once what is lost on the way, where TCP would say it again and wait; and it never gives the port
/// of such a connection back, of which there are no more than 64,511.
pub async fn connect(address: SocketAddr) -> io::Result<Simulated> {
    let connected = TcpStream::connect(address).await;
    if connected.is_err() {
        sleep(REFUSED_AFTER).await;
    }
    connected.map(Simulated)
}

impl Port {
    /// Listens when it accepts for the first time.
    pub fn new(port: u16) -> Self {
        Self::at(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    }

    fn at(address: SocketAddr) -> Self {
        Self { address, listener: None }
    }

    pub async fn next(&mut self) -> io::Result<(Simulated, SocketAddr)> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            // A node has one address, and listens under it by no other name than this.
            None => TcpListener::bind((Ipv4Addr::UNSPECIFIED, self.address.port())).await?,
        };
        let listener = self.listener.insert(listener);
        let (stream, remote) = listener.accept().await?;
        Ok((Simulated(stream), remote))
    }

    /// As the admin socket.
    pub async fn next_local(&mut self) -> io::Result<Local> {
        self.next().await.map(|(stream, _)| Local(stream))
    }
}

impl PeerNetwork for Wire {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<PeerStream>> {
        Box::pin(async move {
            let address = address.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
            Ok(Box::new(connect(address).await?) as PeerStream)
        })
    }

    fn bind(&self, address: SocketAddr) -> io::Result<Box<dyn Bound>> {
        Ok(Box::new(Port::at(address)))
    }
}

impl Bound for Port {
    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn listen(self: Box<Self>) -> io::Result<Box<dyn Connections>> {
        Ok(self)
    }
}

impl Connections for Port {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(PeerStream, SocketAddr)>> {
        Box::pin(async move { self.next().await.map(|(stream, remote)| (Box::new(stream) as PeerStream, remote)) })
    }
}

impl Accept for Port {
    type Io = Simulated;

    async fn accept(&mut self) -> io::Result<(Simulated, SocketAddr)> {
        self.next().await
    }
}

impl Stream for Simulated {
    fn poll_spoken(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Connected for Local {
    type ConnectInfo = UdsPeer;

    fn connect_info(&self) -> UdsPeer {
        UdsPeer { pid: 0, uid: 0, gid: 0, watch: None }
    }
}

impl AsyncRead for Simulated {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Simulated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl AsyncRead for Local {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Local {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

const REFUSED_AFTER: Duration = Duration::from_millis(250);
