//! Fences for what a replica does outside the log, such as signing: check, act, check again, release.
//!
//! A leader that was paused or cut off does not know that it was replaced. The second check closes most of that window:
//! it fails unless a quorum has answered this very leader within the shortest election timeout. A voter that does not
//! lead has a quorum confirm, before and after, that it has applied whatever was acknowledged.

use std::time::Duration;

use openraft::Instant as _;
use tokio::time::Instant;

use super::consensus::Consensus;
use super::read::{ReadIndexQueue, ReadMode, read};
use super::types::LeaderId;

/// Who may act outside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actors {
    Leader,
    Voters,
}

/// Names the right under which something was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(Right);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    Leader(LeaderId),
    Voter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FenceError {
    #[error("this replica does not lead")]
    NotLeader,
    #[error("this replica does not vote")]
    NotVoter,
    #[error("this replica leads, but has not yet applied what earlier leaders acknowledged")]
    CatchingUp,
    #[error("this replica's state differs from that of a quorum; see `cluster status`")]
    Diverged,
    #[error("this server's clock is wrong")]
    WrongClock,
    #[error("no quorum goes by this server's clock; compare the clocks of the replicas")]
    ClockNotAgreed,
    #[error("leadership changed while the work was done")]
    Changed,
    #[error("what the work was based on changed meanwhile")]
    Overtaken,
    #[error("no quorum has answered this leader for {since:?}")]
    NoQuorum { since: Duration },
    #[error("no quorum confirmed within {waited:?} what this replica knows")]
    Unconfirmed { waited: Duration },
}

impl FenceError {
    /// As the metrics call it (`metrics::REFUSALS`).
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotLeader => "not_leader",
            Self::NotVoter => "not_voter",
            Self::CatchingUp => "catching_up",
            Self::Diverged => "diverged",
            Self::WrongClock => "wrong_clock",
            Self::ClockNotAgreed => "clock_not_agreed",
            Self::Changed => "leader_changed",
            Self::Overtaken => "authority_changed",
            Self::NoQuorum { .. } => "no_quorum",
            Self::Unconfirmed { .. } => "unconfirmed",
        }
    }
}

pub(super) async fn acquire(
    consensus: &Consensus,
    rounds: &ReadIndexQueue,
    actors: Actors,
) -> Result<Fence, FenceError> {
    match leader_id(consensus) {
        Err(FenceError::NotLeader) if actors == Actors::Voters => {
            let fence = Fence(Right::Voter);
            check(consensus, rounds, &fence).await?;
            Ok(fence)
        }
        leader => {
            let fence = Fence(Right::Leader(leader?));
            check(consensus, rounds, &fence).await?;
            Ok(fence)
        }
    }
}

pub(super) async fn check(consensus: &Consensus, rounds: &ReadIndexQueue, fence: &Fence) -> Result<(), FenceError> {
    if consensus.comparison.is_diverged() {
        return Err(FenceError::Diverged);
    }
    if consensus.has_wrong_clock() {
        return Err(FenceError::WrongClock);
    }
    if !consensus.is_clock_agreed() {
        return Err(FenceError::ClockNotAgreed);
    }
    match fence.0 {
        Right::Leader(leader) => check_leader(consensus, leader),
        Right::Voter => confirm_voter(consensus, rounds).await,
    }
}

/// Of this replica, if it leads.
fn leader_id(consensus: &Consensus) -> Result<LeaderId, FenceError> {
    let leader = consensus.raft.as_leader().map_err(|_| FenceError::NotLeader)?;
    if !consensus.leadership_now().is_leader {
        return Err(FenceError::CatchingUp);
    }
    Ok(*leader.leader_id())
}

fn check_leader(consensus: &Consensus, leader_id: LeaderId) -> Result<(), FenceError> {
    let leader = consensus.raft.as_leader().map_err(|_| FenceError::Changed)?;
    if *leader.leader_id() != leader_id {
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

/// Concurrent confirmations share one round to the quorum.
async fn confirm_voter(consensus: &Consensus, rounds: &ReadIndexQueue) -> Result<(), FenceError> {
    if !consensus.is_voter() {
        return Err(FenceError::NotVoter);
    }
    let began = Instant::now();
    let confirmed = read(consensus, rounds, ReadMode::Linearizable, began + CONFIRM_MAX).await;
    confirmed.map(drop).map_err(|_| FenceError::Unconfirmed { waited: began.elapsed() })
}

/// An election takes longer with slow timings; whoever waits for the work tries again.
const CONFIRM_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_know_every_reason() {
        let waited = Duration::ZERO;
        for error in [
            FenceError::NotLeader,
            FenceError::NotVoter,
            FenceError::CatchingUp,
            FenceError::Diverged,
            FenceError::WrongClock,
            FenceError::ClockNotAgreed,
            FenceError::Changed,
            FenceError::Overtaken,
            FenceError::NoQuorum { since: waited },
            FenceError::Unconfirmed { waited },
        ] {
            assert!(crate::metrics::REFUSALS.contains(&error.reason()), "{error:?}");
        }
    }
}
