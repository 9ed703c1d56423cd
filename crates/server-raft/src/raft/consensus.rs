//! What the tasks of one replica share. It owns no task, so that nothing keeps itself alive.

use std::sync::Arc;

use steeple_core::Clock;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::clock_guard::PeerClocks;
use super::config::{CleanUp, Limits, Timing};
use super::disk_pace::DiskPace;
use super::error::{Failed, Refusal, StopReason};
use super::health::Health;
use super::leadership::Leadership;
use super::load_shed::LoadShed;
use super::pinger::Reports;
use super::published::Published;
use super::removed::Removal;
use super::stamps::Stamps;
use super::state_watch::Comparison;
use super::types::{Metrics, Node, NodeId, Raft};
use crate::peer::PeerPool;
use crate::seal::KeyInUse;

pub(super) struct Consensus {
    pub(super) node_id: NodeId,
    pub(super) raft: Raft,
    pub(super) published: Arc<Published>,
    /// None on a single server that has no peer port.
    pub(super) peers: Option<PeerPool>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) peer_clocks: PeerClocks,
    pub(super) stamps: Stamps,
    pub(super) reports: Reports,
    pub(super) health: Health,
    pub(super) removed: Removal,
    pub(super) comparison: Comparison,
    /// Without it this replica votes and follows, and neither leads nor calls a peer.
    pub(super) sealing_key: KeyInUse,
    pub(super) disk_pace: DiskPace,
    pub(super) load: LoadShed,
    /// A write was refused because the disk is nearly full.
    pub(super) out_of_room: Notify,
    /// One membership change at a time: two at once can leave a joint configuration that both believe to be done.
    pub(super) membership_change: tokio::sync::Mutex<()>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timing: Timing,
    pub(super) limits: Limits,
    pub(super) clean_up: Option<CleanUp>,
}

/// Where a request that needs the leader has to go.
pub(super) enum Route {
    /// This replica leads, as far as it knows.
    Here,
    There(NodeId, Node),
    Nowhere,
}

impl Consensus {
    pub(super) fn metrics(&self) -> Metrics {
        self.of_metrics(Clone::clone)
    }

    /// Without a copy of all of them: for what every call asks.
    fn of_metrics<T>(&self, read: impl FnOnce(&Metrics) -> T) -> T {
        use openraft::async_runtime::watch::WatchReceiver;
        read(&self.raft.metrics().borrow_watched())
    }

    pub(super) fn leadership_now(&self) -> Leadership {
        self.of_metrics(Leadership::of)
    }

    pub(super) fn route(&self) -> Route {
        match self.raft.as_leader() {
            Ok(_) => Route::Here,
            Err(forward) => match (forward.leader_id, forward.leader_node) {
                (Some(id), Some(node)) if id != self.node_id => Route::There(id, node),
                _ => Route::Nowhere,
            },
        }
    }

    pub(super) fn is_voter(&self) -> bool {
        self.raft.voter_ids().any(|id| id == self.node_id)
    }

    pub(super) fn is_only_voter(&self) -> bool {
        self.raft.voter_ids().all(|id| id == self.node_id)
    }

    /// Whether this replica leads and nobody else could: what it has applied is all that was acknowledged.
    pub(super) fn leads_alone(&self) -> bool {
        self.is_only_voter() && self.leadership.borrow().is_leader && self.raft.as_leader().is_ok()
    }

    /// Waits until this replica has applied `index`. False when the deadline came first.
    pub(super) async fn applied_at_least(&self, index: u64, deadline: Instant) -> bool {
        let mut applied = self.published.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= index);
        matches!(tokio::time::timeout_at(deadline, reached).await, Ok(Ok(_)))
    }

    /// Why this replica answers nothing any more, if it does not.
    pub(super) fn stopped(&self) -> Option<StopReason> {
        let removed = self.removed.get().map(|removed| StopReason(removed.to_string()));
        let diverged = || self.comparison.divergence().map(|divergence| StopReason(divergence.to_string()));
        let ended =
            || self.of_metrics(|now| now.running_state.as_ref().err().map(|fatal| StopReason(fatal.to_string())));
        removed.or_else(diverged).or_else(ended)
    }

    /// Waits until the consensus has stopped.
    pub(super) async fn failed(&self) -> Failed {
        use openraft::async_runtime::watch::WatchReceiver;
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return Failed { reason: fatal.to_string() };
            }
            if metrics.changed().await.is_err() {
                return Failed { reason: "it ended without a word".to_owned() };
            }
        }
    }

    pub(super) fn refuse_if_stopped(&self) -> Result<(), Refusal> {
        match self.stopped() {
            Some(reason) => Err(Refusal::Stopped(reason)),
            None => Ok(()),
        }
    }
}
