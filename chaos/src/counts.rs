//! What clients count while they keep a history, for those who wait until the cluster works.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

#[derive(Default)]
pub(crate) struct Counts {
    operations: AtomicU64,
    successes: AtomicU64,
    acknowledged_writes: watch::Sender<u64>,
}

impl Counts {
    /// A number for the next operation.
    pub(crate) fn next_operation(&self) -> u64 {
        self.operations.fetch_add(1, Ordering::Relaxed)
    }

    /// An operation succeeded, which may have been a write.
    pub(crate) fn succeeded(&self, is_write: bool) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        self.acknowledged_writes.send_if_modified(|count| {
            *count += u64::from(is_write);
            is_write
        });
    }

    pub(crate) fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    pub(crate) fn acknowledged_writes(&self) -> u64 {
        *self.acknowledged_writes.borrow()
    }

    /// Waits until `count` more writes are acknowledged.
    pub(crate) async fn acknowledgements(&self, count: u64) {
        let mut acknowledged = self.acknowledged_writes.subscribe();
        let goal = *acknowledged.borrow() + count;
        // The sender is ours, so that there is always an answer.
        let _ = acknowledged.wait_for(|now| *now >= goal).await;
    }
}
