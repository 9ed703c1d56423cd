//! A token bucket for each caller of late.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use steeple_core::TokenBucket;

/// In two generations, as SPIRE keeps them: who has not called for one to two minutes is forgotten. Both are bounded;
/// when callers come faster, the older one goes early.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    per_second: u32,
    current: HashMap<K, TokenBucket>,
    previous: HashMap<K, TokenBucket>,
    turned_at: Instant,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, current: HashMap::new(), previous: HashMap::new(), turned_at: now }
    }

    /// The bucket of `key`, full if it is new.
    pub(super) fn of(&mut self, key: &K, now: Instant) -> &mut TokenBucket {
        let kept = if self.current.contains_key(key) { None } else { self.make_room(key, now) };
        let per_second = self.per_second;
        let bucket = || kept.unwrap_or_else(|| TokenBucket::full(per_second, now));
        self.current.entry(key.clone()).or_insert_with(bucket)
    }

    /// For `key`, whose bucket of the previous generation is returned.
    fn make_room(&mut self, key: &K, now: Instant) -> Option<TokenBucket> {
        let kept = self.previous.remove(key);
        let is_due = now.saturating_duration_since(self.turned_at) >= GENERATION_AGE;
        if kept.is_none() && is_due || self.current.len() >= GENERATION_KEYS_MAX {
            self.previous = std::mem::take(&mut self.current);
            self.turned_at = now;
        }
        kept
    }

    /// The bucket of `key`, if it is not forgotten.
    pub(super) fn known(&mut self, key: &K) -> Option<&mut TokenBucket> {
        self.current.get_mut(key).or_else(|| self.previous.get_mut(key))
    }
}

/// SPIRE's `GCInterval`.
const GENERATION_AGE: Duration = Duration::from_secs(60);
/// Some 100 bytes each. A bucket is full again a second after its last use, so one is forgotten too early only when
/// twice as many strangers finish a TLS handshake within that second.
const GENERATION_KEYS_MAX: usize = 32_768;

#[cfg(test)]
mod tests {
    use steeple_core::Reservation;

    use super::*;

    fn take(buckets: &mut Buckets<usize>, key: usize, now: Instant) -> Reservation {
        buckets.of(&key, now).reserve(1, now, Duration::MAX).unwrap()
    }

    #[test]
    fn each_key_has_its_own_and_keeps_it_while_it_is_used() {
        let begin = Instant::now();
        let mut buckets = Buckets::new(1, begin);
        assert_eq!(take(&mut buckets, 1, begin).ready_at, begin);
        assert_eq!(take(&mut buckets, 2, begin).ready_at, begin);
        assert_eq!(take(&mut buckets, 1, begin).ready_at, begin + Duration::from_secs(1));
        // A turn does not make debts good: 90 tokens are owed.
        for _ in 0..90 {
            take(&mut buckets, 1, begin);
        }
        let later = begin + GENERATION_AGE;
        take(&mut buckets, 3, later);
        assert_eq!(take(&mut buckets, 1, later).ready_at, begin + Duration::from_secs(92));
        assert!(buckets.known(&2).is_some());
        take(&mut buckets, 4, later + GENERATION_AGE);
        assert!(buckets.known(&2).is_none() && buckets.known(&1).is_some(), "idle for two generations");
    }

    #[test]
    fn a_flood_of_keys_stays_within_the_bound() {
        let begin = Instant::now();
        let mut buckets = Buckets::new(1, begin);
        for key in 0..3 * GENERATION_KEYS_MAX {
            take(&mut buckets, key, begin);
            assert!(buckets.current.len() <= GENERATION_KEYS_MAX && buckets.previous.len() <= GENERATION_KEYS_MAX);
        }
        assert!(buckets.known(&0).is_none() && buckets.known(&(3 * GENERATION_KEYS_MAX - 1)).is_some());
    }
}
