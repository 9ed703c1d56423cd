//! How old this replica's state may be: a pure account of what was heard of the leader.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A replica that cannot know that it is no older than this sends its agents away. Elections take a second or two, and
/// agents do not notice them.
pub const STALENESS_MAX: Duration = Duration::from_secs(10);

/// Fed now and then with what the leader had applied, and what this replica has.
#[derive(Debug, Default)]
pub struct Freshness {
    /// The state is complete as of then.
    complete_at: Option<Instant>,
    /// When the state reaches this index, it is complete as of that time.
    goal: Option<(Instant, u64)>,
}

impl Freshness {
    /// `leader_applied` was heard just now. Returns whether the state is recent enough to be served.
    pub fn observe(&mut self, now: Instant, leader_applied: Option<u64>, applied: u64) -> bool {
        if self.goal.is_none() {
            self.goal = leader_applied.map(|index| (now, index));
        }
        if let Some((at, index)) = self.goal
            && applied >= index
        {
            self.complete_at = Some(at);
            self.goal = None;
        }
        self.complete_at.is_some_and(|at| now.duration_since(at) <= STALENESS_MAX)
    }
}

/// Resolves when this replica's state is too old to be served; `fresh` is of [`super::Subscribers::fresh`].
pub async fn until_stale(fresh: &mut watch::Receiver<bool>) {
    if fresh.wait_for(|fresh| !fresh).await.is_err() {
        // The server ends, and its connections with it.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_as_fresh_as_what_it_has_applied() {
        let started = Instant::now();
        let at = |secs: u64| started + Duration::from_secs(secs);
        let mut freshness = Freshness::default();
        assert!(!freshness.observe(at(0), None, 5), "nothing was heard yet");
        assert!(!freshness.observe(at(1), Some(9), 5), "it is behind");
        assert!(freshness.observe(at(2), Some(12), 9), "it has what the leader had a second ago");
        assert!(freshness.observe(at(3), Some(12), 12));
        // An election.
        assert!(freshness.observe(at(8), None, 12));
        assert!(freshness.observe(at(9), Some(12), 12));
        // Cut off.
        assert!(freshness.observe(at(19), None, 12));
        assert!(!freshness.observe(at(20), None, 12));
        // Heard again, but the log does not come.
        assert!(!freshness.observe(at(21), Some(40), 12));
        assert!(!freshness.observe(at(32), Some(50), 30));
        assert!(!freshness.observe(at(33), Some(51), 40), "that was true twelve seconds ago");
        assert!(freshness.observe(at(34), Some(51), 51));
    }
}
