//! The guard over replicated time: a leader whose clock lies too far from the quorum's may not stamp.
//!
//! Peers tell their wall time when pinged; the difference at the middle of the round trip is their offset. The verdict
//! is a pure function of these offsets, so that one bad clock, the leader's own included, cannot expire the trust
//! domain.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use steeple_core::Timestamp;
use steeple_state::limits::CLOCK_SKEW_MAX;
use tokio::time::Instant;

use super::consensus::Consensus;
use super::types::NodeId;

/// An offset measured longer ago says nothing about now.
const OFFSET_AGE_MAX: Duration = Duration::from_secs(10);
/// An answer that took longer locates the peer's clock too badly.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(2);

/// Five times the interval in which the replicated clock moves at least.
const CLOCK_DOUBT: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Within the bound of the quorum's median.
    Trusted,
    /// Too few clocks are known to judge: right after a start, or without a quorum. Without a quorum nothing is written
    /// anyway, so this does not open the door.
    Unknown,
    /// Our clock minus the median of the quorum.
    Skewed { offset_ms: i64 },
}

/// What is known of the peers' clocks.
#[derive(Default)]
pub(super) struct Offsets {
    by_node: Mutex<BTreeMap<NodeId, Measured>>,
}

#[derive(Clone, Copy)]
struct Measured {
    /// The peer's clock minus ours.
    offset_ms: i64,
    at: Instant,
}

impl Offsets {
    /// A peer said `theirs` between our `sent` and `received`.
    pub(super) fn record(&self, peer: NodeId, sent: Timestamp, theirs: Timestamp, received: Timestamp, took: Duration) {
        if took > ROUND_TRIP_MAX {
            return;
        }
        let middle = sent.as_ms() + (received.as_ms() - sent.as_ms()) / 2;
        let offset_ms = theirs.as_ms().saturating_sub(middle);
        self.by_node.lock().insert(peer, Measured { offset_ms, at: Instant::now() });
    }

    /// Peers' clocks minus ours, by node, as far as they are fresh.
    pub(super) fn fresh(&self) -> BTreeMap<NodeId, i64> {
        let fresh = |measured: &&Measured| measured.at.elapsed() < OFFSET_AGE_MAX;
        let known = self.by_node.lock();
        known.iter().filter(|(_, measured)| fresh(measured)).map(|(id, measured)| (*id, measured.offset_ms)).collect()
    }
}

/// The median of the voters' clocks minus ours. `None` when fewer than a quorum are known.
fn median(us: NodeId, voters: &[NodeId], offsets: &BTreeMap<NodeId, i64>) -> Option<i64> {
    let mut known: Vec<i64> = voters.iter().filter(|id| **id != us).filter_map(|id| offsets.get(id).copied()).collect();
    if voters.contains(&us) {
        known.push(0);
    }
    if known.len() < voters.len() / 2 + 1 {
        return None;
    }
    known.sort_unstable();
    // Of an even number, the one nearer to our own clock: doubt is no reason to stop writing.
    let (low, high) = (known[(known.len() - 1) / 2], known[known.len() / 2]);
    Some(if low.abs() < high.abs() { low } else { high })
}

/// Judges the clock of `us` by the offsets (theirs minus ours) of the other `voters`.
pub(super) fn verdict(us: NodeId, voters: &[NodeId], offsets: &BTreeMap<NodeId, i64>) -> Verdict {
    if voters.iter().all(|id| *id == us) {
        return Verdict::Trusted;
    }
    match median(us, voters, offsets) {
        None => Verdict::Unknown,
        Some(median) if median.abs() > millis(CLOCK_SKEW_MAX) => Verdict::Skewed { offset_ms: -median },
        Some(_) => Verdict::Trusted,
    }
}

impl Consensus {
    pub(super) fn clock_verdict(&self) -> Verdict {
        verdict(self.node_id, &self.voters(), &self.offsets.fresh())
    }

    pub(super) fn has_wrong_clock(&self) -> bool {
        matches!(self.clock_verdict(), Verdict::Skewed { .. })
    }

    /// Whether this replica's clock is known to be wrong, or runs so far ahead of the replicated one, which moves every
    /// minute while there is a quorum, that it may have jumped since the peers were last asked.
    pub(super) fn may_be_ahead(&self) -> bool {
        let alone = self.voters().iter().all(|id| *id == self.node_id);
        let ahead = || self.clock.now().since(self.published.state.read().now()) > CLOCK_DOUBT;
        self.has_wrong_clock() || !alone && ahead()
    }

    /// Whether a leader's stamp lies further ahead of the quorum's median than any clock may. Only the future does
    /// harm: the replicated clock never runs backwards, and entries may be as old as they like.
    pub(super) fn is_from_the_future(&self, stamp: Timestamp) -> bool {
        let Some(median) = median(self.node_id, &self.voters(), &self.offsets.fresh()) else { return false };
        let now = self.clock.now().as_ms().saturating_add(median);
        // Measured here and at the leader, the same clocks may seem to differ by a round trip.
        stamp.as_ms().saturating_sub(now) > millis(CLOCK_SKEW_MAX + ROUND_TRIP_MAX)
    }

    /// A node in a time or a state of its own neither leads nor tries to, so that another one leads. Nor does a sealed
    /// one, which would have nothing to sign with.
    pub(super) fn stand_aside_if_unfit(&self) {
        let verdict = self.clock_verdict();
        let skewed = matches!(verdict, Verdict::Skewed { .. });
        if skewed {
            tracing::error!(?verdict, "this server's clock is wrong; set it, until then it does not lead");
        }
        let fit = !skewed && !self.comparison.is_diverged();
        self.raft.runtime_config().heartbeat(fit);
        self.raft.runtime_config().elect(fit && !self.sealing_key.is_sealed());
    }

    fn voters(&self) -> Vec<NodeId> {
        self.raft.voter_ids().collect()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(offsets: &[(NodeId, i64)]) -> Verdict {
        verdict(1, &[1, 2, 3], &offsets.iter().copied().collect())
    }

    #[test]
    fn one_bad_peer_does_not_matter() {
        assert_eq!(judge(&[(2, 3_600_000), (3, 20)]), Verdict::Trusted);
    }

    #[test]
    fn a_leader_alone_in_its_time_is_told_so() {
        assert_eq!(judge(&[(2, -3_600_000), (3, -3_600_020)]), Verdict::Skewed { offset_ms: 3_600_000 });
    }

    #[test]
    fn exactly_the_bound_is_allowed() {
        assert_eq!(judge(&[(2, 10_000), (3, 10_000)]), Verdict::Trusted);
        assert_eq!(judge(&[(2, 10_001), (3, 10_001)]), Verdict::Skewed { offset_ms: -10_001 });
    }

    #[test]
    fn too_few_clocks_are_no_verdict() {
        assert_eq!(judge(&[]), Verdict::Unknown);
        assert_eq!(verdict(1, &[1], &BTreeMap::new()), Verdict::Trusted);
    }

    #[test]
    fn two_clocks_that_differ_do_not_stop_the_cluster() {
        assert_eq!(judge(&[(2, 3_600_000)]), Verdict::Trusted);
    }
}
