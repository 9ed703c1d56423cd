//! Who is healthy, and how many more failures the cluster survives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::types::NodeId;

/// Entries that a healthy member may lack: a moment of a busy cluster.
const HEALTHY_LAG_MAX: u64 = 1000;

/// Since when each other member has been healthy without a break, as this replica sees it.
#[derive(Default)]
pub(super) struct Health {
    since: Mutex<BTreeMap<NodeId, Instant>>,
}

impl Health {
    /// `healthy` are those that answered just now and keep up.
    pub(super) fn note(&self, healthy: &BTreeSet<NodeId>, now: Instant) {
        let mut since = self.since.lock();
        since.retain(|id, _| healthy.contains(id));
        for id in healthy {
            since.entry(*id).or_insert(now);
        }
    }

    pub(super) fn since(&self, id: NodeId) -> Option<Instant> {
        self.since.lock().get(&id).copied()
    }
}

/// A member that answered `age` ago and lacks `lag` entries of the log.
pub(super) fn is_healthy(age: Duration, lag: u64) -> bool {
    age < super::pinger::FRESH_FOR && lag <= HEALTHY_LAG_MAX
}

/// Voters that may fail, whichever they are, before nothing can be written: when `healthy` of them are healthy, of
/// which `able` can lead, which a sealed one cannot.
pub(super) fn failure_tolerance(voters: usize, healthy: usize, able: usize) -> usize {
    healthy.saturating_sub(voters / 2 + 1).min(able.saturating_sub(1))
}

/// A set of voters, and how many of them answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Voters {
    pub count: usize,
    pub answering: usize,
}

impl Voters {
    /// Of the sets that all have to agree, the one with the fewest to spare for a quorum.
    pub(super) fn fewest_to_spare(sets: impl Iterator<Item = Self>) -> Self {
        sets.min_by_key(|set| set.answering as i64 - (set.count / 2 + 1) as i64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_already_is_no_tolerance() {
        assert_eq!(
            [(1, 1), (2, 2), (3, 3), (3, 2), (5, 5), (5, 2)].map(|(v, h)| failure_tolerance(v, h, h)),
            [0, 0, 1, 0, 2, 0]
        );
    }

    #[test]
    fn who_cannot_lead_is_no_tolerance_when_the_last_one_who_can_fails() {
        assert_eq!([3, 2, 1, 0].map(|able| failure_tolerance(3, 3, able)), [1, 1, 0, 0]);
        assert_eq!([5, 3, 2, 1].map(|able| failure_tolerance(5, 5, able)), [2, 2, 1, 0]);
    }

    #[test]
    fn in_the_middle_of_a_change_the_weaker_set_of_voters_counts() {
        let set = |count, answering| Voters { count, answering };
        let fewest = |sets: &[Voters]| Voters::fewest_to_spare(sets.iter().copied());
        assert_eq!(fewest(&[set(3, 2), set(2, 1)]), set(2, 1));
        assert_eq!(fewest(&[set(3, 2), set(5, 5)]), set(3, 2));
        assert_eq!(fewest(&[set(3, 3)]), set(3, 3));
        assert_eq!(fewest(&[]), set(0, 0));
    }

    #[test]
    fn health_begins_anew_after_a_break() {
        let (health, start) = (Health::default(), Instant::now());
        let at = |secs| start + Duration::from_secs(secs);
        health.note(&[2, 3].into(), at(0));
        health.note(&[2, 3].into(), at(1));
        assert_eq!(health.since(2), Some(at(0)));
        health.note(&[3].into(), at(2));
        assert_eq!(health.since(2), None);
        health.note(&[2, 3].into(), at(3));
        assert_eq!((health.since(2), health.since(3)), (Some(at(3)), Some(at(0))));
    }

    #[test]
    fn a_member_that_is_silent_or_far_behind_is_not_healthy() {
        assert!(is_healthy(Duration::from_secs(1), 1000));
        assert!(!is_healthy(Duration::from_secs(3), 0));
        assert!(!is_healthy(Duration::ZERO, 1001));
    }
}
