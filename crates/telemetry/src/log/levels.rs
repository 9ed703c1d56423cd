//! The level that is in force, for the Logger API.

use std::sync::Arc;

use parking_lot::Mutex;
use steeple_config::LogLevel;
use tracing_subscriber::Registry;
use tracing_subscriber::reload::Handle;

use super::layer::Threshold;

/// Cheap to clone; all clones are one setting.
#[derive(Clone)]
pub struct Levels(Arc<Inner>);

struct Inner {
    launch: LogLevel,
    current: Mutex<LogLevel>,
    filter: Handle<Threshold, Registry>,
}

impl Levels {
    pub(crate) fn new(launch: LogLevel, filter: Handle<Threshold, Registry>) -> Self {
        Self(Arc::new(Inner { launch, current: Mutex::new(launch), filter }))
    }

    /// What the configuration said.
    pub fn launch(&self) -> LogLevel {
        self.0.launch
    }

    pub fn current(&self) -> LogLevel {
        *self.0.current.lock()
    }

    /// Takes effect with the next message.
    pub fn set(&self, level: LogLevel) {
        let mut current = self.0.current.lock();
        *current = level;
        // Fails only when the subscriber is gone, and then nothing is logged at any level.
        let _ = self.0.filter.reload(Threshold(level));
    }

    /// Back to the launch level.
    pub fn reset(&self) {
        self.set(self.0.launch);
    }
}
