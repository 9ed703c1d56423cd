//! The way of one connection between two replicas.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use steeple_testkit::Dice;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::link::Link;

/// Bytes that travel together: a few Raft messages.
const PIECE_BYTES_MAX: usize = 32 * 1024;

/// One direction as the relay sees it.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) link: watch::Receiver<Link>,
    /// Pieces that a link held up.
    pub(super) troubled: Arc<AtomicU64>,
    pub(super) dice: Dice,
}

/// Carries bytes between `caller` and `server` until one of them ends. What an end looks like arrives like all else:
/// not while the link is cut.
pub(super) async fn carry(caller: TcpStream, server: SocketAddr, there: Way, back: Way) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    caller.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_caller, to_caller) = caller.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(pump(from_caller, to_server, there), pump(from_server, to_caller, back)).map(|_| ())
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: Way) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES_MAX];
    loop {
        let read = from.read(&mut piece).await;
        way.travel().await;
        match read? {
            0 => return to.shutdown().await,
            length => to.write_all(&piece[..length]).await?,
        }
    }
}

impl Way {
    async fn travel(&mut self) {
        let link = *self.link.borrow_and_update();
        let time = link.travel(&mut self.dice);
        if !link.cut && time.is_zero() {
            return;
        }
        self.troubled.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(time).await;
        // The other end is the network, which lives as long as its connections.
        let _ = self.link.wait_for(|link| !link.cut).await;
    }
}
