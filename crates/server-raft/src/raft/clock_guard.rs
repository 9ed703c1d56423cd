//! The guard over replicated time: a leader whose clock lies too far from the quorum's may not stamp.
//!
//! Peers tell their wall time when pinged, and from there on it is followed with this machine's monotonic clock: what
//! they are away from our own wall clock is their offset, also in the instant in which that one jumps. The verdict is a
//! pure function of these offsets, so that one bad clock, the leader's own included, cannot expire the trust domain.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use steeple_core::Timestamp;
use steeple_state::limits::CLOCK_SKEW_MAX;
use tokio::time::Instant;

use super::consensus::Consensus;
use super::stamps::Course;
use super::types::NodeId;

/// A peer's clock that was read longer ago may have been set meanwhile.
const READING_AGE_MAX: Duration = Duration::from_secs(60);
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
pub(super) struct PeerClocks {
    by_node: Mutex<BTreeMap<NodeId, Reading>>,
}

#[derive(Clone, Copy)]
struct Reading {
    theirs: Timestamp,
    at: Instant,
}

impl PeerClocks {
    /// A peer that was asked `since` said `theirs`.
    pub(super) fn record(&self, peer: NodeId, theirs: Timestamp, since: Instant) {
        let took = since.elapsed();
        if took <= ROUND_TRIP_MAX {
            self.by_node.lock().insert(peer, Reading { theirs, at: since + took / 2 });
        }
    }

    /// Peers' clocks minus ours, which says `now`, by node, as far as they are fresh.
    pub(super) fn offsets(&self, now: Timestamp) -> BTreeMap<NodeId, i64> {
        let offset = |reading: &Reading| {
            let age = reading.at.elapsed();
            let theirs = reading.theirs.as_ms().saturating_add(millis(age));
            (age < READING_AGE_MAX).then(|| theirs.saturating_sub(now.as_ms()))
        };
        self.by_node.lock().iter().filter_map(|(id, reading)| Some((*id, offset(reading)?))).collect()
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

/// Whether a quorum of `voters` goes by the time of `us`: what leaves the cluster with a time in it, such as a
/// certificate, wants more than the absence of doubt.
fn is_agreed(us: NodeId, voters: &[NodeId], offsets: &BTreeMap<NodeId, i64>) -> bool {
    let agrees = |id: &&NodeId| {
        let near = |offset: &i64| offset.abs() <= millis(CLOCK_SKEW_MAX);
        **id == us || offsets.get(id).is_some_and(near)
    };
    voters.iter().filter(agrees).count() > voters.len() / 2
}

/// Our clock minus the replicated one, where that is beyond doubt.
fn apart(ours: Timestamp, replicated: Timestamp) -> Option<i64> {
    let offset_ms = ours.as_ms().saturating_sub(replicated.as_ms());
    (offset_ms.abs() > millis(CLOCK_DOUBT)).then_some(offset_ms)
}

impl Consensus {
    pub(super) fn clock_verdict(&self) -> Verdict {
        verdict(self.node_id, &self.voters(), &self.offsets())
    }

    pub(super) fn is_clock_agreed(&self) -> bool {
        is_agreed(self.node_id, &self.voters(), &self.offsets())
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
        let Some(median) = median(self.node_id, &self.voters(), &self.offsets()) else { return false };
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
        if let (Verdict::Unknown, Some(offset_ms)) = (verdict, self.apart()) {
            let why = "certificates of peers seem to have expired, or to begin later, so that no clock can be compared";
            tracing::error!(
                offset_ms,
                "this server's clock is wrong by the time that its leader goes by; {why}; set it"
            );
        }
        let course = if skewed { Course::StandAside } else { self.stamps.course(&self.metrics(), self.clock.now()) };
        let ahead = "what was stamped while this server's clock was ahead";
        match course {
            Course::StandAside if !skewed => {
                tracing::error!("{ahead} is not taken by the others: another one is to lead");
            }
            Course::LeadAnew => {
                tracing::error!("{ahead} counts, since nobody else can lead");
                let raft = self.raft.clone();
                tokio::spawn(async move { raft.trigger().elect(false).await });
            }
            Course::Lead | Course::StandAside => {}
        }
        let fit = course != Course::StandAside && !self.comparison.is_diverged();
        self.raft.runtime_config().heartbeat(fit);
        self.raft.runtime_config().elect(fit && !self.sealing_key.is_sealed());
    }

    /// Told while another one leads, which moves the replicated clock at least every minute.
    fn apart(&self) -> Option<i64> {
        let leadership = self.leadership_now();
        let follows = leadership.leader.is_some() && !leadership.is_leader;
        let replicated = || self.published.state.read().now();
        follows.then(|| apart(self.clock.now(), replicated())).flatten()
    }

    fn offsets(&self) -> BTreeMap<NodeId, i64> {
        self.peer_clocks.offsets(self.clock.now())
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
    fn five_minutes_from_the_replicated_clock_are_beyond_doubt() {
        let at = Timestamp::from_secs;
        assert_eq!([apart(at(1_300), at(1_000)), apart(at(700), at(1_000))], [None, None]);
        assert_eq!([apart(at(1_301), at(1_000)), apart(at(699), at(1_000))], [Some(301_000), Some(-301_000)]);
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

    #[test]
    fn nothing_is_signed_by_a_time_that_no_quorum_goes_by() {
        let agreed = |offsets: &[(NodeId, i64)]| is_agreed(1, &[1, 2, 3], &offsets.iter().copied().collect());
        assert!(agreed(&[(2, 10_000), (3, 3_600_000)]) && agreed(&[(3, -20)]));
        assert!(!agreed(&[(2, 3_600_000)]) && !agreed(&[]) && !agreed(&[(2, 10_001), (3, -10_001)]));
        assert!(is_agreed(1, &[1], &BTreeMap::new()), "alone");
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_jump_is_seen_at_once_and_a_peers_with_its_next_answer() {
        let (clocks, began) = (PeerClocks::default(), Timestamp::from_secs(1_000_000));
        let asked = Instant::now();
        tokio::time::advance(Duration::from_millis(40)).await;
        // Half of the way it took is gone.
        clocks.record(2, began, asked);
        let now = |ms: i64| Timestamp::from_ms(began.as_ms() + ms);
        assert_eq!(clocks.offsets(now(20)), [(2, 0)].into());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clocks.offsets(now(5_020)), [(2, 0)].into());
        assert_eq!(clocks.offsets(now(5_020 + 15_000)), [(2, -15_000)].into(), "ours is ahead");
        clocks.record(2, now(5_020 - 3_600_000), Instant::now());
        assert_eq!(clocks.offsets(now(5_020)), [(2, -3_600_000)].into());
        tokio::time::advance(READING_AGE_MAX).await;
        assert_eq!(clocks.offsets(now(65_020)), [].into(), "who has said nothing for so long may have been set");
        clocks.record(2, began, asked);
        assert_eq!(clocks.offsets(now(65_020)), [].into(), "an answer that took a minute locates nothing");
    }
}
