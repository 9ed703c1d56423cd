//! How far a run has come, for whoever watches it from another thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

#[derive(Debug, Default)]
pub struct Progress {
    steps: AtomicU64,
    elapsed_ms: AtomicU64,
}

impl Progress {
    /// One more step is done, and the simulation has got to `elapsed`.
    pub fn reach(&self, elapsed: Duration) {
        self.elapsed_ms.store(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), Relaxed);
        self.steps.fetch_add(1, Relaxed);
    }

    pub fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    /// Simulated.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms.load(Relaxed))
    }
}
