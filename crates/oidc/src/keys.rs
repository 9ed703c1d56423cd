//! The keys that are published now, and how fresh they are.

use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use steeple_core::JwtAuthority;
use tokio::sync::watch;

/// What the last poll brought; empty until the first.
#[derive(Debug)]
pub struct KeySet {
    published: ArcSwapOption<Published>,
    polled_at: watch::Sender<Option<Instant>>,
    started_at: Instant,
}

/// The keys, and since when they are these.
#[derive(Debug)]
pub(crate) struct Published {
    pub authorities: Vec<JwtAuthority>,
    pub since: SystemTime,
}

impl KeySet {
    pub fn new() -> Self {
        let (polled_at, _) = watch::channel(None);
        Self { published: ArcSwapOption::empty(), polled_at, started_at: Instant::now() }
    }

    /// A poll succeeded. The same keys again keep their time, so that caches stay good.
    pub fn set(&self, authorities: Vec<JwtAuthority>) {
        let is_new = self.published.load().as_ref().is_none_or(|now| now.authorities != authorities);
        if is_new {
            self.published.store(Some(Published { authorities, since: SystemTime::now() }.into()));
        }
        self.polled_at.send_replace(Some(Instant::now()));
    }

    pub(crate) fn published(&self) -> Option<std::sync::Arc<Published>> {
        self.published.load_full()
    }

    /// Whether a poll succeeded within `age_max`.
    pub(crate) fn is_fresh(&self, age_max: Duration) -> bool {
        self.polled_at.borrow().is_some_and(|at| at.elapsed() < age_max)
    }

    /// Whether it is fresh or at least has not had `age_max` of time yet.
    pub(crate) fn may_become_fresh(&self, age_max: Duration) -> bool {
        match *self.polled_at.borrow() {
            Some(at) => at.elapsed() < age_max,
            None => self.started_at.elapsed() < age_max,
        }
    }
}

impl Default for KeySet {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(key_id: &str) -> JwtAuthority {
        JwtAuthority { public_key: vec![1], key_id: key_id.into(), expires_at: 0, tainted: false }
    }

    #[test]
    fn fresh_only_after_a_poll_and_the_same_keys_keep_their_time() {
        let keys = KeySet::new();
        assert!(keys.published().is_none() && !keys.is_fresh(Duration::MAX) && keys.may_become_fresh(Duration::MAX));
        assert!(!keys.may_become_fresh(Duration::ZERO));
        keys.set(vec![authority("a")]);
        let first = keys.published().unwrap();
        keys.set(vec![authority("a")]);
        assert_eq!(keys.published().unwrap().since, first.since);
        keys.set(vec![authority("b")]);
        assert_eq!(keys.published().unwrap().authorities[0].key_id, "b");
        assert!(keys.is_fresh(Duration::MAX) && !keys.is_fresh(Duration::ZERO));
    }
}
