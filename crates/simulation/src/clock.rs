//! Wall clocks: one time for all, and how far each node is off it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use steeple_core::{Clock, Timestamp};

/// The time that the simulation has reached. Only its driver moves it.
#[derive(Debug, Default)]
pub struct Time(AtomicI64);

impl Time {
    pub fn set(&self, elapsed: Duration) {
        let ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        self.0.store(BEGINNING.as_ms().saturating_add(ms), Relaxed);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Relaxed))
    }
}

/// What a node takes for the time.
#[derive(Debug)]
pub struct NodeClock {
    time: Arc<Time>,
    ahead_ms: AtomicI64,
}

impl NodeClock {
    pub fn new(time: &Arc<Time>) -> Self {
        Self { time: Arc::clone(time), ahead_ms: AtomicI64::new(0) }
    }

    /// Negative is behind.
    pub fn set_ahead(&self, ms: i64) {
        self.ahead_ms.store(ms, Relaxed);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.time.now().as_ms().saturating_add(self.ahead_ms.load(Relaxed)))
    }
}

/// 2026-01-01T00:00:00Z.
pub const BEGINNING: Timestamp = Timestamp::from_secs(1_767_225_600);
