//! How fast the disk syncs. While all voters answer, a slow leader's writes are acknowledged by the others' disks; as
//! soon as one of them is away, every write waits for this one. So a leader whose disk is slow lets a replica lead
//! whose disk is not. When all are slow nobody hands over: leadership that wanders mends nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use steeple_storage::{FLUSH_BUCKETS_US, Stats, Storage};
use tokio::time::{Instant, MissedTickBehavior};

use super::admin;
use super::consensus::Consensus;

/// The place of 500 ms among the bounds: a disk whose 99th percentile is beyond is slow. etcd's rules warn there.
const SLOW: usize = 11;
/// Over which the percentile is taken.
const WINDOW: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// In a window with few syncs, one or two slow ones say nothing: a disk may have cleaned up.
const SLOW_SYNCS_MIN: u64 = 3;
/// A sync that takes so long is not waited for.
const STALLED_AFTER: Duration = Duration::from_secs(3);
/// Between two attempts to hand over.
const HAND_OVER_PAUSE: Duration = Duration::from_secs(10);

/// Whether this replica's disk is slow.
#[derive(Default)]
pub(super) struct DiskPace {
    slow: AtomicBool,
}

impl DiskPace {
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Relaxed)
    }
}

/// The syncs of the last seconds.
#[derive(Default)]
struct Window {
    /// As many as there are looks in [`WINDOW`], and one from before.
    looks: VecDeque<(Instant, Syncs)>,
}

/// Since the store was opened.
#[derive(Clone, Copy, Debug, Default)]
struct Syncs {
    all: u64,
    slow: u64,
}

impl Window {
    /// Takes in what the store counted until `now`, and judges.
    fn is_slow(&mut self, now: Instant, stats: &Stats) -> bool {
        let seen = Syncs { all: stats.flushes, slow: stats.flushes_beyond(SLOW) };
        // The last look from before the window tells where it begins.
        while self.looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.looks.pop_front();
        }
        let before = self.looks.front().map_or(seen, |(_, syncs)| *syncs);
        self.looks.push_back((now, seen));
        let (all, slow) = (seen.all.saturating_sub(before.all), seen.slow.saturating_sub(before.slow));
        let stalled = stats.flush_running.is_some_and(|took| took >= STALLED_AFTER);
        stalled || slow >= SLOW_SYNCS_MIN && slow * 100 >= all
    }
}

/// Tells the log's reader when the disk becomes slow and when it is so no more, on leaders and followers alike; a
/// leader hands over.
pub(super) async fn watch(storage: Storage, consensus: Arc<Consensus>) {
    let (mut window, mut not_before) = (Window::default(), Instant::now());
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        looks.tick().await;
        let stats = storage.stats();
        let slow = window.is_slow(Instant::now(), &stats);
        if consensus.disk_pace.slow.swap(slow, Relaxed) != slow {
            tell(slow, &stats);
        }
        if slow && Instant::now() >= not_before && consensus.leadership_now().is_leader {
            admin::leave_to(&consensus, |disk| disk.has_room && disk.is_fast, "the disk is slow").await;
            not_before = Instant::now() + HAND_OVER_PAUSE;
        }
    }
}

fn tell(slow: bool, stats: &Stats) {
    let last_ms = stats.flush_last_ns / 1_000_000;
    let running_ms = stats.flush_running.map(|took| took.as_millis());
    if slow {
        let bound_ms = FLUSH_BUCKETS_US[SLOW] / 1_000;
        tracing::warn!(last_ms, running_ms, bound_ms, "the disk is slow: syncs of the log take longer than the bound");
    } else {
        tracing::info!(last_ms, "the disk is fast again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `fast` and `slow` syncs since the store was opened.
    fn stats(fast: u64, slow: u64) -> Stats {
        let mut stats = Stats { flushes: fast + slow, ..Stats::default() };
        stats.flush_buckets[SLOW] = fast;
        stats.flush_buckets[SLOW + 1] = slow;
        stats
    }

    fn judge(looks: &[(u64, u64)]) -> Vec<bool> {
        let (mut window, began) = (Window::default(), Instant::now());
        let at = |second: usize| began + LOOK_EVERY * u32::try_from(second).unwrap();
        looks.iter().enumerate().map(|(n, (fast, slow))| window.is_slow(at(n), &stats(*fast, *slow))).collect()
    }

    #[test]
    fn the_bound_is_half_a_second() {
        assert_eq!(FLUSH_BUCKETS_US[SLOW], 500_000);
    }

    #[test]
    fn what_was_before_the_first_look_is_not_judged() {
        assert_eq!(judge(&[(0, 1000), (1, 1000)]), [false, false]);
    }

    #[test]
    fn one_or_two_slow_syncs_are_forgiven_and_one_in_a_hundred_of_many() {
        assert_eq!(judge(&[(0, 0), (0, 1), (0, 2), (0, 3)]), [false, false, false, true]);
        assert_eq!(judge(&[(0, 0), (297, 3), (298, 3)]), [false, true, false]);
    }

    #[test]
    fn what_was_is_forgotten_with_the_window() {
        let looks: Vec<(u64, u64)> = std::iter::once((0, 0)).chain([(0, 5); 40]).collect();
        let judged = judge(&looks);
        let slow = judged.iter().filter(|slow| **slow).count();
        assert!(judged[1] && !judged[40]);
        assert_eq!(slow, 30, "seconds in the window");
    }

    #[test]
    fn looks_are_bounded() {
        let (mut window, began) = (Window::default(), Instant::now());
        for second in 0..1000 {
            window.is_slow(began + LOOK_EVERY * second, &stats(0, 0));
        }
        assert_eq!(window.looks.len(), 31);
    }

    #[test]
    fn a_sync_that_does_not_end_is_not_waited_for() {
        let mut window = Window::default();
        let running = |took| Stats { flush_running: Some(took), ..Stats::default() };
        assert!(!window.is_slow(Instant::now(), &running(STALLED_AFTER - Duration::from_millis(1))));
        assert!(window.is_slow(Instant::now(), &running(STALLED_AFTER)));
    }
}
