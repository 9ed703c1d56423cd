//! A port whose connections go to wherever a test says: a load balancer that can be pointed.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Relays until it is dropped; while it points nowhere, connections end at once.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    target: Arc<Mutex<Option<String>>>,
    room_bytes: Arc<Mutex<u64>>,
    task: JoinHandle<()>,
}

impl Relay {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, target) = (listener.local_addr()?, Arc::new(Mutex::new(None::<String>)));
        let room_bytes = Arc::new(Mutex::new(u64::MAX));
        let (pointed, room) = (Arc::clone(&target), Arc::clone(&room_bytes));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, room) = (pointed.lock().clone(), Arc::clone(&room));
                tokio::spawn(async move {
                    let Some(target) = target else { return };
                    let Ok(server) = TcpStream::connect(target).await else { return };
                    relay(client, server, &room).await;
                });
            }
        });
        Ok(Self { address, target, room_bytes, task })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// For connections from now on; `host:port`.
    pub fn point_to(&self, target: &str) {
        *self.target.lock() = Some(target.to_owned());
    }

    /// How much may still be sent by all clients together; then their connections end in the middle.
    pub fn pass_at_most(&self, bytes: u64) {
        *self.room_bytes.lock() = bytes;
    }
}

async fn relay(client: TcpStream, server: TcpStream, room: &Mutex<u64>) {
    let ((from_client, mut to_client), (mut from_server, to_server)) = (client.into_split(), server.into_split());
    let back = async {
        let _ = copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::select! {
        // The connection ends with what is in flight, as if the network had.
        () = until_full(from_client, to_server, room) => {}
        () = back => {}
    }
}

/// Returns when no more may pass; after the client's end it waits for the server's.
async fn until_full(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, room: &Mutex<u64>) {
    let mut piece = vec![0; 64 << 10];
    loop {
        let Ok(count) = from.read(&mut piece).await else { return };
        let passed = {
            let mut room = room.lock();
            let passed = (*room).min(count as u64);
            *room -= passed;
            passed as usize
        };
        if to.write_all(&piece[..passed]).await.is_err() || passed < count {
            return;
        }
        if count == 0 {
            let _ = to.shutdown().await;
            return std::future::pending().await;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
