//! Fences for what a leader does outside the log, such as signing: check, act, check again, release.
//!
//! A leader that was paused or cut off does not know that it was replaced. The second check closes most of that window:
//! it fails unless a quorum has answered this very leader within the shortest election timeout.

use std::time::Duration;

use openraft::Instant as _;

use super::consensus::Consensus;
use super::leadership::Leadership;
use super::types::LeaderId;

/// Names the leadership under which something was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    leader_id: LeaderId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FenceError {
    #[error("this replica does not lead")]
    NotLeader,
    #[error("this replica leads, but has not yet applied what earlier leaders acknowledged")]
    CatchingUp,
    #[error("this replica's state differs from that of a quorum; see `cluster status`")]
    Diverged,
    #[error("leadership changed while the work was done")]
    Changed,
    #[error("no quorum has answered this leader for {since:?}")]
    NoQuorum { since: Duration },
}

pub(super) fn acquire(consensus: &Consensus) -> Result<Fence, FenceError> {
    let leader = consensus.raft.as_leader().map_err(|_| FenceError::NotLeader)?;
    if !Leadership::of(&consensus.metrics()).is_leader {
        return Err(FenceError::CatchingUp);
    }
    let fence = Fence { leader_id: *leader.leader_id() };
    check(consensus, &fence)?;
    Ok(fence)
}

pub(super) fn check(consensus: &Consensus, fence: &Fence) -> Result<(), FenceError> {
    if consensus.comparison.is_diverged() {
        return Err(FenceError::Diverged);
    }
    let leader = consensus.raft.as_leader().map_err(|_| FenceError::Changed)?;
    if *leader.leader_id() != fence.leader_id {
        return Err(FenceError::Changed);
    }
    if consensus.raft.voter_ids().all(|id| id == consensus.node_id) {
        return Ok(());
    }
    // A voter that answered will not elect another leader for at least this long.
    let lease = consensus.timing.election_min;
    match leader.last_quorum_acked() {
        Some(acked) if acked.elapsed() < lease => Ok(()),
        Some(acked) => Err(FenceError::NoQuorum { since: acked.elapsed() }),
        None => Err(FenceError::NoQuorum { since: lease }),
    }
}
