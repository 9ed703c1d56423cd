//! A bound on open connections, in total and for each origin (an IP address, a uid).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts open connections. Cheap to clone; clones share the count.
#[derive(Debug)]
pub struct ConnectionLimit<K> {
    counts: Arc<Mutex<Counts<K>>>,
    total_max: usize,
    per_origin_max: usize,
}

#[derive(Debug)]
struct Counts<K> {
    total: usize,
    by_origin: HashMap<K, usize>,
}

/// One counted connection; dropping it gives its place back.
#[derive(Debug)]
pub struct ConnectionSlot<K: Hash + Eq> {
    counts: Arc<Mutex<Counts<K>>>,
    origin: K,
}

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    #[error("this origin has {max} connections open already")]
    PerOrigin { max: usize },
    #[error("{max} connections are open already")]
    Total { max: usize },
}

impl<K: Hash + Eq + Clone> ConnectionLimit<K> {
    pub fn new(total_max: usize, per_origin_max: usize) -> Self {
        let counts = Counts { total: 0, by_origin: HashMap::new() };
        Self { counts: Arc::new(Mutex::new(counts)), total_max, per_origin_max }
    }

    pub fn admit(&self, origin: K) -> Result<ConnectionSlot<K>, LimitReached> {
        let mut counts = self.counts.lock();
        if counts.total >= self.total_max {
            return Err(LimitReached::Total { max: self.total_max });
        }
        let of_origin = counts.by_origin.get(&origin).copied().unwrap_or(0);
        if of_origin >= self.per_origin_max {
            return Err(LimitReached::PerOrigin { max: self.per_origin_max });
        }
        counts.by_origin.insert(origin.clone(), of_origin + 1);
        counts.total += 1;
        Ok(ConnectionSlot { counts: Arc::clone(&self.counts), origin })
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.counts.lock().total
    }
}

impl<K> Clone for ConnectionLimit<K> {
    fn clone(&self) -> Self {
        Self { counts: Arc::clone(&self.counts), ..*self }
    }
}

impl<K: Hash + Eq> Drop for ConnectionSlot<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.total -= 1;
        // An origin without connections is forgotten, so the map is never larger than the total.
        if let Some(count) = counts.by_origin.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                counts.by_origin.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_each_origin_and_the_total_and_gives_places_back() {
        let limit = ConnectionLimit::new(3, 2);
        let first = limit.admit("a").unwrap();
        let _second = limit.admit("a").unwrap();
        assert_eq!(limit.admit("a").unwrap_err(), LimitReached::PerOrigin { max: 2 });
        let _third = limit.admit("b").unwrap();
        assert_eq!(limit.admit("c").unwrap_err(), LimitReached::Total { max: 3 });
        drop(first);
        assert_eq!(limit.open(), 2);
        assert!(limit.admit("a").is_ok());
    }

    #[test]
    fn forgets_idle_origins() {
        let limit = ConnectionLimit::new(10, 10);
        for origin in 0..100 {
            limit.admit(origin).unwrap();
        }
        assert!(limit.counts.lock().by_origin.is_empty());
    }
}
