//! How long flushes take, as plain numbers for whoever exports metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Upper bounds of the flush histogram. 250 µs is a good NVMe disk, 500 ms is where etcd's alert warns.
pub const FLUSH_BUCKETS_US: [u64; 14] =
    [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 125_000, 250_000, 500_000, 1_000_000, 2_000_000];

/// Numbers since the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Syncs of the WAL; each may have covered many appends.
    pub flushes: u64,
    pub flush_last_ns: u64,
    pub flush_total_ns: u64,
    /// Flushes at most as long as the bound at the same place of [`FLUSH_BUCKETS_US`] and longer than the one before;
    /// one more at the end for those that were longer than all.
    pub flush_buckets: [u64; FLUSH_BUCKETS_US.len() + 1],
    /// How long the flush takes so far that runs now.
    pub flush_running: Option<Duration>,
    /// Appends and votes that wait for a flush now.
    pub flush_queue_len: u64,
    pub entries_appended: u64,
    /// Syncs of the WAL by RocksDB's own count: at least one for each of [`Stats::flushes`].
    pub wal_syncs: u64,
    /// Errors that RocksDB met while flushing or compacting in the background.
    pub background_errors: u64,
}

impl Stats {
    /// Flushes that took longer than the bound at place `at` of [`FLUSH_BUCKETS_US`].
    pub fn flushes_beyond(&self, at: usize) -> u64 {
        self.flush_buckets.iter().skip(at + 1).sum()
    }
}

pub(crate) struct Counters {
    opened: Instant,
    /// Since [`Counters::opened`]; 0 while none runs.
    flush_began_ns: AtomicU64,
    flushes: AtomicU64,
    flush_last_ns: AtomicU64,
    flush_total_ns: AtomicU64,
    flush_buckets: [AtomicU64; FLUSH_BUCKETS_US.len() + 1],
    pub(crate) flush_queue_len: AtomicU64,
    pub(crate) entries_appended: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            opened: Instant::now(),
            flush_began_ns: AtomicU64::default(),
            flushes: AtomicU64::default(),
            flush_last_ns: AtomicU64::default(),
            flush_total_ns: AtomicU64::default(),
            flush_buckets: Default::default(),
            flush_queue_len: AtomicU64::default(),
            entries_appended: AtomicU64::default(),
        }
    }
}

impl Counters {
    pub(crate) fn flush_begins(&self) {
        self.flush_began_ns.store(nanos(self.opened.elapsed()).max(1), Relaxed);
    }

    pub(crate) fn flush_ended(&self) {
        self.flush_began_ns.store(0, Relaxed);
    }

    fn flush_running(&self) -> Option<Duration> {
        let began = Some(self.flush_began_ns.load(Relaxed)).filter(|began| *began != 0)?;
        Some(self.opened.elapsed().saturating_sub(Duration::from_nanos(began)))
    }

    pub(crate) fn flushed(&self, took: Duration) {
        let ns = nanos(took);
        self.flushes.fetch_add(1, Relaxed);
        self.flush_last_ns.store(ns, Relaxed);
        self.flush_total_ns.fetch_add(ns, Relaxed);
        let bucket = FLUSH_BUCKETS_US.partition_point(|bound_us| bound_us.saturating_mul(1_000) < ns);
        self.flush_buckets[bucket].fetch_add(1, Relaxed);
    }

    /// All that is counted here; the rest is RocksDB's.
    pub(crate) fn read(&self) -> Stats {
        Stats {
            flushes: self.flushes.load(Relaxed),
            flush_last_ns: self.flush_last_ns.load(Relaxed),
            flush_total_ns: self.flush_total_ns.load(Relaxed),
            flush_buckets: std::array::from_fn(|at| self.flush_buckets[at].load(Relaxed)),
            flush_running: self.flush_running(),
            flush_queue_len: self.flush_queue_len.load(Relaxed),
            entries_appended: self.entries_appended.load(Relaxed),
            ..Stats::default()
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_that_does_not_end_is_seen() {
        let counters = Counters::default();
        assert_eq!(counters.read().flush_running, None);
        counters.flush_begins();
        assert!(counters.read().flush_running.is_some());
        counters.flush_ended();
        assert_eq!(counters.read().flush_running, None);
    }

    #[test]
    fn a_flush_falls_into_the_bucket_of_its_bound() {
        let counters = Counters::default();
        for us in [1, 250, 251, 9_000_000] {
            counters.flushed(Duration::from_micros(us));
        }
        let stats = counters.read();
        assert_eq!((stats.flushes, stats.flush_last_ns), (4, 9_000_000_000));
        assert_eq!((stats.flush_buckets[0], stats.flush_buckets[1], stats.flush_buckets[14]), (2, 1, 1));
        assert_eq!((stats.flushes_beyond(0), stats.flushes_beyond(1), stats.flushes_beyond(13)), (2, 1, 1));
    }
}
