//! Snapshots: taken here, received from a leader, sent to a follower.

use metrics::{counter, gauge, histogram};
use steeple_core::{Clock as _, SystemClock};
use tokio::time::Instant;

use super::{SNAPSHOT_DURATION_SECS, SNAPSHOT_LAST_SUCCESS_SECS, SNAPSHOT_SIZE_BYTES, SNAPSHOTS};

/// Started when a snapshot is begun. Dropped, it was broken off for a good reason, and counts for nothing.
#[must_use = "nothing is recorded before `done`"]
pub struct SnapshotTimer {
    kind: &'static str,
    started: Instant,
}

impl SnapshotTimer {
    pub fn taken() -> Self {
        Self::of(TAKEN)
    }

    /// From the first frame until it is installed.
    pub fn received() -> Self {
        Self::of(RECEIVED)
    }

    /// Until the other replica has installed it.
    pub fn sent() -> Self {
        Self::of(SENT)
    }

    fn of(kind: &'static str) -> Self {
        Self { kind, started: Instant::now() }
    }

    /// Of `size_bytes`, or failed.
    pub fn done(self, size_bytes: Option<u64>) {
        let Self { kind, started } = self;
        let Some(size_bytes) = size_bytes else {
            return counter!(SNAPSHOTS, "kind" => kind, "status" => "Error").increment(1);
        };
        counter!(SNAPSHOTS, "kind" => kind, "status" => "OK").increment(1);
        histogram!(SNAPSHOT_DURATION_SECS, "kind" => kind).record(started.elapsed().as_secs_f64());
        gauge!(SNAPSHOT_SIZE_BYTES, "kind" => kind).set(size_bytes as f64);
        gauge!(SNAPSHOT_LAST_SUCCESS_SECS, "kind" => kind).set(SystemClock.now().as_secs() as f64);
    }
}

/// Shows at 0 what has not happened yet.
pub(super) fn declare() {
    for kind in [TAKEN, RECEIVED, SENT] {
        for status in ["OK", "Error"] {
            counter!(SNAPSHOTS, "kind" => kind, "status" => status).increment(0);
        }
        let _ = histogram!(SNAPSHOT_DURATION_SECS, "kind" => kind);
    }
}

const TAKEN: &str = "taken";
const RECEIVED: &str = "received";
const SENT: &str = "sent";
