//! How far the leader was when this replica last heard of it.

use std::time::Duration;

use openraft::Instant as _;

use super::consensus::{Consensus, Route};

/// What the leader had applied, told within the last `within`: a replica that has applied it too is no older than that.
/// `None` without a leader that answers, and for a leader that no quorum answers.
pub(super) fn leader_applied(consensus: &Consensus, within: Duration) -> Option<u64> {
    match consensus.route() {
        Route::Here => {
            let leader = consensus.raft.as_leader().ok()?;
            let confirmed =
                consensus.is_only_voter() || leader.last_quorum_acked().is_some_and(|acked| acked.elapsed() < within);
            confirmed.then(|| *consensus.published.applied.borrow())
        }
        Route::There(leader, _) => {
            let report = consensus.reports.of(leader)?;
            (report.at.elapsed() < within).then_some(report.applied_index)
        }
        Route::Nowhere => None,
    }
}
