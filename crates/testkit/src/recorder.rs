//! A port that passes connections on and keeps every byte of them, each way in a file of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Connections at once. Replicas have a few to each other.
const CONNECTIONS_MAX: usize = 128;
/// Of all connections together. A capture that is full ends the connection: nothing passes unseen.
const CAPTURE_BYTES_MAX: u64 = 256 << 20;
const PIECE_BYTES: usize = 32 << 10;

/// Relays and records until it is dropped.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    target: watch::Sender<Option<String>>,
    captured_bytes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Writes into `dir`, which is made.
    pub async fn start(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, (target, pointed)) = (listener.local_addr()?, watch::channel(None));
        let captured_bytes = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, pointed, dir.to_owned(), Arc::clone(&captured_bytes)));
        Ok(Self { address, target, captured_bytes, task })
    }

    /// `host:port` to call.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// `host:port`; connections wait until there is one.
    pub fn point_to(&self, target: &str) {
        self.target.send_replace(Some(target.to_owned()));
    }

    pub fn captured_bytes(&self) -> u64 {
        self.captured_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: watch::Receiver<Option<String>>,
    dir: PathBuf,
    captured: Arc<AtomicU64>,
) {
    let mut connections = JoinSet::new();
    for number in 0_u64.. {
        let accepted = tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((caller, _)) = accepted else { return };
        let (mut target, dir, captured) = (target.clone(), dir.clone(), Arc::clone(&captured));
        connections.spawn(async move {
            let Ok(Some(server)) = target.wait_for(Option::is_some).await.map(|known| known.clone()) else { return };
            // Whoever ended the connection, and why.
            let _ = carry(caller, &server, &dir.join(number.to_string()), &captured).await;
        });
    }
}

async fn carry(caller: TcpStream, server: &str, capture: &Path, captured: &AtomicU64) -> std::io::Result<()> {
    let server = TcpStream::connect(server).await?;
    caller.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (there, back) =
        (File::create(capture.with_extension("there")).await?, File::create(capture.with_extension("back")).await?);
    let ((from_caller, to_caller), (from_server, to_server)) = (caller.into_split(), server.into_split());
    tokio::try_join!(pump(from_caller, to_server, there, captured), pump(from_server, to_caller, back, captured))?;
    Ok(())
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut capture: File,
    captured: &AtomicU64,
) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        if captured.fetch_add(length as u64, Ordering::Relaxed) > CAPTURE_BYTES_MAX {
            return Err(std::io::Error::other("the capture is full"));
        }
        // On record before it arrives.
        capture.write_all(&piece[..length]).await?;
        capture.flush().await?;
        to.write_all(&piece[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Canary;

    #[tokio::test]
    async fn both_ways_are_on_record() {
        let dir = tempfile::tempdir().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Recorder::start(dir.path()).await.unwrap();
        let mut caller = TcpStream::connect(recorder.address()).await.unwrap();
        recorder.point_to(&server.local_addr().unwrap().to_string());
        let (mut accepted, _) = server.accept().await.unwrap();
        let mut heard = [0; 19];
        caller.write_all(b"a secret of callers").await.unwrap();
        accepted.read_exact(&mut heard).await.unwrap();
        accepted.write_all(b"a secret of servers").await.unwrap();
        caller.read_exact(&mut heard).await.unwrap();
        assert_eq!(recorder.captured_bytes(), 38);
        for (secret, file) in [("a secret of callers", "0.there"), ("a secret of servers", "0.back")] {
            assert_eq!(Canary::new(secret, secret.as_bytes()).found_below(dir.path()), [dir.path().join(file)]);
        }
    }
}
