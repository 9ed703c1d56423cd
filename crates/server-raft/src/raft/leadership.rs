//! Who leads, as a watch for drivers and for waiting requests.

use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use super::types::{Metrics, NodeId, Raft};
use crate::metrics;

/// Who leads, as this replica knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<NodeId>,
    /// This replica leads *and* has applied everything that earlier leaders acknowledged. Drivers start here.
    pub is_leader: bool,
}

impl Leadership {
    pub(super) fn of(metrics: &Metrics) -> Self {
        let led_by_us = metrics.state.is_leader() && metrics.vote.committed;
        // The first entry of its own term is the leader's proof that it has seen all earlier ones.
        let caught_up = metrics.last_applied.is_some_and(|id| *id.committed_leader_id() == metrics.vote.leader_id);
        Self { term: metrics.current_term, leader: metrics.current_leader, is_leader: led_by_us && caught_up }
    }
}

/// Publishes changes until the consensus ends.
pub(super) async fn follow(raft: Raft, leadership: watch::Sender<Leadership>) {
    let mut raft_metrics = raft.metrics();
    loop {
        let now = Leadership::of(&raft_metrics.borrow_watched());
        leadership.send_if_modified(|known| {
            let changed = *known != now;
            if changed {
                tracing::info!(term = now.term, leader = now.leader, is_leader = now.is_leader, "leadership changed");
                if now.leader.is_some() && (known.leader, known.term) != (now.leader, now.term) {
                    metrics::leader_changed();
                }
                *known = now;
            }
            changed
        });
        if raft_metrics.changed().await.is_err() {
            // Stopped: whoever waits for a leader must not believe in the last one.
            leadership.send_modify(|known| *known = Leadership { term: known.term, leader: None, is_leader: false });
            return;
        }
    }
}
