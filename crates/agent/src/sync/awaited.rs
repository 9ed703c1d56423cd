//! Pushed entries whose SVIDs are not there yet: how long a workload waits for what somebody just entered.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// By entry id, when it was pushed. As many as there are entries to be minted.
#[derive(Default)]
pub struct Awaited(Mutex<BTreeMap<String, Instant>>);

impl Awaited {
    /// An entry that is pushed again before it was minted has waited since the first time.
    pub fn pushed<'a>(&self, entry_ids: impl IntoIterator<Item = &'a String>) {
        let (now, mut awaited) = (Instant::now(), self.0.lock());
        for id in entry_ids {
            awaited.entry(id.clone()).or_insert(now);
        }
    }

    /// Of what came before `planned_at` only `minting` is waited for: the rest has its SVID, or gets none before a
    /// workload asks for it.
    pub fn keep(&self, minting: &[String], planned_at: Instant) {
        let mut awaited = self.0.lock();
        if !awaited.is_empty() {
            awaited.retain(|id, pushed_at| *pushed_at > planned_at || minting.contains(id));
        }
    }

    /// The entry's SVID is in the cache. How long that took, if it was waited for.
    pub fn minted(&self, entry_id: &str) -> Option<Duration> {
        self.0.lock().remove(entry_id).map(|pushed_at| pushed_at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_minted_for_a_push_is_timed_once() {
        let (awaited, second) = (Awaited::default(), Duration::from_secs(1));
        let ids = ["a", "b", "c"].map(str::to_owned);
        awaited.pushed(&ids[..2]);
        tokio::time::advance(second).await;
        awaited.pushed(&ids[..1]);
        let planned_at = Instant::now();
        tokio::time::advance(second).await;
        awaited.pushed(&ids[2..]);
        // No SVID is made for b now; c came after the plan.
        awaited.keep(&ids[..1], planned_at);
        let waits = ["a", "a", "b", "c"].map(|id| awaited.minted(id));
        assert_eq!(waits, [Some(2 * second), None, None, Some(Duration::ZERO)]);
    }
}
