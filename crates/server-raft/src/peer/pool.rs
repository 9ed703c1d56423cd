//! Channels to peers: a few per peer, opened when first used, kept for its life.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use steeple_state::Uuid;
use tokio::runtime::Handle;
use tonic::transport::{Channel, Endpoint};

use super::dial::Connector;
use super::{PeerCredentials, PeerError, PeerId, PeerNetwork};

/// What a connection is for. Each lane is a connection of its own, so that neither can delay another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    Heartbeat,
    Replication,
    Snapshot,
    /// Forwarded writes, reads and signing.
    Requests,
}

/// Whom to reach, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTarget {
    pub node_id: u64,
    /// `host:port`.
    pub address: String,
    pub storage_uuid: Uuid,
}

/// The channels of one replica. Clones share them.
#[derive(Clone)]
pub struct PeerPool {
    inner: Arc<Inner>,
}

struct Inner {
    credentials: PeerCredentials,
    network: Arc<dyn PeerNetwork>,
    /// Where connections live: on the threads of the consensus, whoever asks for them.
    threads: Handle,
    /// Bounded by members times lanes: the membership has its own limit, and a changed address replaces its channel.
    channels: Mutex<HashMap<(u64, Lane), (PeerTarget, Channel)>>,
}

/// A connection that swallows packets is noticed within the sum of these.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

impl PeerPool {
    pub fn new(credentials: PeerCredentials, network: Arc<dyn PeerNetwork>, threads: Handle) -> Self {
        Self { inner: Arc::new(Inner { credentials, network, threads, channels: Mutex::default() }) }
    }

    /// The channel to `target`; it connects when used, and again when it broke.
    pub fn channel(&self, target: &PeerTarget, lane: Lane) -> Result<Channel, PeerError> {
        if self.inner.credentials.only_answers() {
            return Err(PeerError::OnlyAnswers);
        }
        let mut channels = self.inner.channels.lock();
        if let Some((known, channel)) = channels.get(&(target.node_id, lane))
            && known == target
        {
            return Ok(channel.clone());
        }
        let channel = self.inner.open(target)?;
        channels.insert((target.node_id, lane), (target.clone(), channel.clone()));
        Ok(channel)
    }
}

impl Inner {
    fn open(&self, target: &PeerTarget) -> Result<Channel, PeerError> {
        let cluster_uuid = self.credentials.id().cluster_uuid;
        let expected = PeerId { cluster_uuid, node_id: target.node_id, storage_uuid: target.storage_uuid };
        let connector =
            Connector::new(Arc::clone(&self.network), &target.address, self.credentials.client_config(expected)?);
        let threads = self.threads.clone();
        // tonic spawns the channel's worker where it is made.
        let _entered = self.threads.enter();
        let endpoint = Endpoint::from_static("http://peer.steeple.internal")
            .executor(OnThreads(threads))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        Ok(endpoint.connect_with_connector_lazy(connector))
    }
}

/// hyper's way to spawn, bound to one runtime.
#[derive(Clone)]
struct OnThreads(Handle);

impl<F> hyper::rt::Executor<F> for OnThreads
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
