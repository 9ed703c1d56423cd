//! The peer port's acceptor: TLS handshakes off the accept loop, all of it bounded.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use steeple_transport::places::Places;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::network::{Bound, Connections, PeerNetwork, PeerStream};
use super::proof::JoinProof;
use super::verifier::peer_id;
use super::{PeerCredentials, PeerError, PeerId};

/// Connections that have said nothing yet. One that has to be dropped for another is the oldest of the busiest address.
const SILENT_MAX: usize = 1024;
/// Handshakes at once: a cluster restarts with a few dozen connections; more is somebody else, and gives way likewise.
const HANDSHAKES_MAX: usize = 64;
/// A peer in the same network needs milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections without a certificate at once. Joining is rare; strangers must not exhaust us (CVE-2024-8185). They give
/// way likewise, so that a crowd of them keeps no server from joining.
const STRANGERS_MAX: usize = 8;
/// How long such a connection may last: one call, including the leader's commit.
const STRANGER_LIFETIME: Duration = Duration::from_secs(20);
/// Accepted connections that wait for the server.
const ACCEPTED_QUEUE_MAX: usize = 16;
/// The pause after the process ran out of descriptors, so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A bound peer port. It refuses connections until it is served: a replica that waits to be let in must not look like
/// a member ([`super::nobody_serves`]).
pub struct PeerListener {
    /// Listens where it is served, on the threads of the consensus.
    bound: Box<dyn Bound>,
    address: SocketAddr,
}

/// What the services know of a connection; it is in the extensions of each request.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    pub remote: SocketAddr,
    /// `None`: no certificate, which is enough for `Join` only.
    pub peer: Option<PeerId>,
    pub proof: Arc<JoinProof>,
}

pub(crate) struct PeerConnection {
    stream: TlsStream<PeerStream>,
    info: ConnectionInfo,
    stranger: Option<StrangerBound>,
}

struct StrangerBound {
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Of one port, by the address that a connection comes from.
#[derive(Clone)]
struct Crowd {
    silent: Places<IpAddr>,
    handshakes: Places<IpAddr>,
    strangers: Places<IpAddr>,
}

impl PeerListener {
    pub fn bind(network: &dyn PeerNetwork, address: SocketAddr) -> Result<Self, PeerError> {
        let bound = network.bind(address).and_then(|bound| Ok(Self { address: bound.address()?, bound }));
        bound.map_err(|source| PeerError::Listen { address, source })
    }

    /// The address with the port that was given, also when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the returned stream is dropped.
    pub(crate) fn accept(
        self,
        credentials: &PeerCredentials,
    ) -> Result<impl futures::Stream<Item = io::Result<PeerConnection>> + Send + 'static, PeerError> {
        let tls = credentials.server_config()?;
        let refused = |source| PeerError::Listen { address: self.address, source };
        let listener = self.bound.listen().map_err(refused)?;
        let (sender, accepted) = mpsc::channel(ACCEPTED_QUEUE_MAX);
        tokio::spawn(accept_loop(listener, tls, sender));
        Ok(ReceiverStream::new(accepted))
    }
}

async fn accept_loop(
    mut listener: Box<dyn Connections>,
    tls: Arc<ServerConfig>,
    accepted: mpsc::Sender<io::Result<PeerConnection>>,
) {
    let crowd = Crowd {
        silent: Places::new(SILENT_MAX),
        handshakes: Places::new(HANDSHAKES_MAX),
        strangers: Places::new(STRANGERS_MAX),
    };
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = accepted.closed() => return,
        };
        let (stream, remote) = match connection {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "accepting a peer connection failed");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let (tls, crowd, accepted) = (Arc::clone(&tls), crowd.clone(), accepted.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, welcome(stream, remote, tls, &crowd)).await {
                Ok(Ok(connection)) => drop(accepted.send(Ok(connection)).await),
                Ok(Err(error)) => tracing::debug!(%remote, %error, "peer handshake failed"),
                Err(_) => tracing::debug!(%remote, "peer handshake took too long"),
            }
        });
    }
}

async fn welcome(
    mut stream: PeerStream,
    remote: SocketAddr,
    tls: Arc<ServerConfig>,
    crowd: &Crowd,
) -> io::Result<PeerConnection> {
    let silent = crowd.silent.replace(remote.ip()).ok_or_else(gave_way)?;
    tokio::select! {
        spoken = poll_fn(|context| stream.poll_spoken(context)) => spoken?,
        () = silent.lost() => return Err(gave_way()),
    }
    drop(silent);
    let place = crowd.handshakes.replace(remote.ip()).ok_or_else(gave_way)?;
    tokio::select! {
        connection = handshake(stream, remote, tls, &crowd.strangers) => connection,
        () = place.lost() => Err(gave_way()),
    }
}

async fn handshake(
    stream: PeerStream,
    remote: SocketAddr,
    tls: Arc<ServerConfig>,
    strangers: &Places<IpAddr>,
) -> io::Result<PeerConnection> {
    let stream = TlsAcceptor::from(tls).accept(stream).await?;
    let (_, session) = stream.get_ref();
    let proof = Arc::new(JoinProof::of(session).map_err(io::Error::other)?);
    let peer = match session.peer_certificates().and_then(|chain| chain.first()) {
        Some(certificate) => Some(peer_id(certificate).map_err(io::Error::other)?),
        None => None,
    };
    let stranger = match peer {
        Some(_) => None,
        None => {
            let place = strangers.replace(remote.ip()).ok_or_else(gave_way)?;
            let end = async move {
                let _ = tokio::time::timeout(STRANGER_LIFETIME, place.lost()).await;
            };
            Some(StrangerBound { end: Box::pin(end) })
        }
    };
    Ok(PeerConnection { stream, info: ConnectionInfo { remote, peer, proof }, stranger })
}

fn gave_way() -> io::Error {
    io::Error::other("gave way to another connection")
}

impl Connected for PeerConnection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for PeerConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(stranger) = &mut self.stranger
            && stranger.end.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PeerConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
