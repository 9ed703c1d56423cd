//! The stamps of a leader whose clock was ahead.
//!
//! Followers refuse what lies in the future (`rpc`). Once the clock is right again the leader is as fit as any, and
//! what it stamped before stands in its log, in front of all that is written later: it would lead, and never commit.
//! So it lets another replica lead, whose log lacks these entries. When nobody takes over, because the others are no
//! quorum without it, it leads anew: what a leader finds in its log is accepted by everybody, and the replicated clock
//! is ahead then (docs/adr/0043-the-way-back.md).

use std::time::Duration;

use parking_lot::Mutex;
use steeple_core::Timestamp;
use steeple_state::limits::CLOCK_SKEW_MAX;
use tokio::time::Instant;

use super::types::{LeaderId, Metrics};

/// Nothing was committed for so long. With a clock that was set back, a busy leader has something under way all the
/// time.
const STANDS_STILL: Duration = Duration::from_secs(2);
/// Elections take two seconds at most while a quorum is there.
const NOBODY_TAKES_OVER: Duration = Duration::from_secs(12);

/// The latest stamp of this replica's time as a leader, and since when it may stand in the way.
#[derive(Default)]
pub(super) struct Stamps {
    latest: Mutex<Option<(LeaderId, Timestamp)>>,
    /// With what was applied then.
    waits_since: Mutex<Option<(u64, Instant)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    Lead,
    /// Say nothing, so that another replica is elected.
    StandAside,
    /// In a new term.
    LeadAnew,
}

impl Stamps {
    pub(super) fn stamped(&self, leader: LeaderId, at: Timestamp) {
        let mut latest = self.latest.lock();
        let before = latest.filter(|(of, _)| *of == leader).map(|(_, before)| before);
        *latest = Some((leader, before.map_or(at, |before| before.max(at))));
    }

    /// What to do at `now`, by a clock that is right.
    pub(super) fn course(&self, metrics: &Metrics, now: Timestamp) -> Course {
        let waits = waits_with_the_future(metrics, *self.latest.lock(), now);
        let mut since = self.waits_since.lock();
        *since = since.filter(|(applied, _)| waits && *applied == applied_index(metrics));
        if !waits {
            return Course::Lead;
        }
        let (_, begun) = *since.get_or_insert_with(|| (applied_index(metrics), Instant::now()));
        match begun.elapsed() {
            waited if waited >= NOBODY_TAKES_OVER => Course::LeadAnew,
            waited if waited >= STANDS_STILL => Course::StandAside,
            _ => Course::Lead,
        }
    }
}

/// Whether it leads, has something in its log that is not committed, and stamped further ahead than any clock may be.
fn waits_with_the_future(metrics: &Metrics, latest: Option<(LeaderId, Timestamp)>, now: Timestamp) -> bool {
    let Some((leader, stamp)) = latest else { return false };
    let leads = metrics.state.is_leader() && metrics.vote.committed && metrics.vote.leader_id == leader;
    leads && metrics.last_log_index.unwrap_or(0) > applied_index(metrics) && stamp.since(now) > CLOCK_SKEW_MAX
}

fn applied_index(metrics: &Metrics) -> u64 {
    metrics.last_applied.map_or(0, |id| id.index())
}

#[cfg(test)]
mod tests {
    use openraft::{LogId, ServerState};

    use super::*;
    use crate::raft::types::Vote;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn led_by(term: u64, last_log: u64, applied: u64) -> (LeaderId, Metrics) {
        let leader = LeaderId { term, node_id: 1 };
        let mut metrics = Metrics::new_initial(1);
        metrics.state = ServerState::Leader;
        metrics.vote = Vote::new_committed(term, 1);
        metrics.last_log_index = Some(last_log);
        metrics.last_applied = Some(LogId::new(leader, applied));
        (leader, metrics)
    }

    #[tokio::test(start_paused = true)]
    async fn who_stamped_the_future_stands_aside_and_then_leads_anew() {
        let stamps = Stamps::default();
        let (leader, metrics) = led_by(2, 10, 9);
        assert_eq!(stamps.course(&metrics, NOW), Course::Lead, "nothing was stamped");
        stamps.stamped(leader, NOW.saturating_add(HOUR));
        stamps.stamped(leader, NOW);
        assert_eq!(stamps.course(&metrics, NOW), Course::Lead, "it may be on its way");
        tokio::time::advance(STANDS_STILL).await;
        assert_eq!(stamps.course(&metrics, NOW), Course::StandAside, "the latest stamp counts");
        tokio::time::advance(NOBODY_TAKES_OVER - STANDS_STILL).await;
        assert_eq!(stamps.course(&metrics, NOW), Course::LeadAnew);
        let (_, anew) = led_by(3, 11, 9);
        assert_eq!(stamps.course(&anew, NOW), Course::Lead, "these are an earlier leader's stamps");
        assert_eq!(stamps.course(&metrics, NOW), Course::Lead, "the wait begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_commits_is_left_alone() {
        let (leader, metrics) = led_by(2, 10, 9);
        let follower = Metrics { state: ServerState::Follower, ..metrics.clone() };
        for (ahead, now, later) in [
            (CLOCK_SKEW_MAX, &metrics, &metrics),
            (HOUR, &metrics, &led_by(2, 11, 10).1),
            (HOUR, &metrics, &led_by(2, 10, 10).1),
            (HOUR, &follower, &follower),
        ] {
            let stamps = Stamps::default();
            stamps.stamped(leader, NOW.saturating_add(ahead));
            assert_eq!(stamps.course(now, NOW), Course::Lead);
            tokio::time::advance(STANDS_STILL).await;
            assert_eq!(stamps.course(later, NOW), Course::Lead);
        }
    }
}
