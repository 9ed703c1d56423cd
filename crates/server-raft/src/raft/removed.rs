//! A member that was taken out of the cluster. It has nothing to serve any more: its state falls behind, and its node
//! id is never used again. Like etcd's it ends, and says how it comes back.
//!
//! It learns of its removal from its own log, or, when it was away, from the first peer that turns it away. One peer's
//! word is enough: ids are never used twice, and a peer that knows less than this replica lets it speak.

use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use super::consensus::Consensus;
use super::members::Members;
use super::types::NodeId;
use crate::peer::{MemberView as _, PeerId, Standing};

/// This replica is no member any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "node {node_id} was removed from the cluster and may not come back under this id: move the data directory away and \
     start again, with cluster.join naming the other replicas; it then joins as a new node (keep the sealing key)"
)]
pub struct Removed {
    pub node_id: NodeId,
}

/// What this replica knows of its own removal.
pub(super) struct Removal {
    node_id: NodeId,
    known: watch::Sender<bool>,
}

impl Removal {
    pub(super) fn new(node_id: NodeId) -> Self {
        Self { node_id, known: watch::Sender::new(false) }
    }

    /// `by` is the peer that says so, or this node itself.
    pub(super) fn learn(&self, by: NodeId) {
        if !self.known.send_replace(true) {
            let node_id = self.node_id;
            tracing::error!(node_id, told_by = by, "this replica was removed from the cluster");
        }
    }

    pub(super) fn get(&self) -> Option<Removed> {
        self.known.borrow().then_some(Removed { node_id: self.node_id })
    }

    /// Resolves when the removal is known.
    pub(super) async fn wait(&self) -> Removed {
        // The sender lives as long as this.
        let _ = self.known.subscribe().wait_for(|known| *known).await;
        Removed { node_id: self.node_id }
    }
}

/// Follows the own log until it says that `us` is out: not on the list, nor in Raft's membership, whose change may
/// still need our vote.
pub(super) async fn watch_own_log(consensus: Arc<Consensus>, members: Members, us: PeerId) {
    let mut metrics = consensus.raft.metrics();
    while members.standing(&us) != Standing::Stranger {
        if metrics.changed().await.is_err() {
            return;
        }
    }
    consensus.removed.learn(us.node_id);
}
