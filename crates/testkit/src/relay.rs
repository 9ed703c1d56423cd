//! A port whose connections go to wherever a test says: a load balancer that can be pointed.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Relays until it is dropped; while it points nowhere, connections end at once.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    target: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Relay {
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, target) = (listener.local_addr()?, Arc::new(Mutex::new(None::<String>)));
        let pointed = Arc::clone(&target);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let target = pointed.lock().clone();
                tokio::spawn(async move {
                    let Some(target) = target else { return };
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Ok(Self { address, target, task })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// For connections from now on; `host:port`.
    pub fn point_to(&self, target: &str) {
        *self.target.lock() = Some(target.to_owned());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
