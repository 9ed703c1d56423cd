//! What the embedding program decides about a store.

use std::sync::Arc;

use crate::{FailPoints, FlushByHand, StorageError};

/// Called once, with the first failed write or flush, before any waiter hears of it.
pub type FatalHook = Arc<dyn Fn(&StorageError) + Send + Sync>;

#[derive(Clone)]
pub struct Options {
    /// Default: log and abort. After a failed fsync the page cache cannot be trusted, so a retry could acknowledge
    /// what the disk does not hold. A hook that returns leaves a store that refuses everything.
    pub on_fatal: FatalHook,
    /// Room reserved in the file `BALLAST`, for an operator to give back when the volume is full. 0 reserves none.
    pub ballast_bytes: u64,
    /// Where tests make the disk or the process fail. Empty by default.
    pub fail_points: FailPoints,
    /// `None`: a thread syncs what was written as soon as it can.
    pub flush_by_hand: Option<FlushByHand>,
}

/// What recovery needs to write out a usual WAL.
const BALLAST_BYTES: u64 = 32 << 20;

impl Default for Options {
    fn default() -> Self {
        Self {
            on_fatal: Arc::new(abort),
            ballast_bytes: BALLAST_BYTES,
            fail_points: FailPoints::default(),
            flush_by_hand: None,
        }
    }
}

fn abort(error: &StorageError) {
    tracing::error!(error = %error, "storage failed, aborting so that nothing unsafe is acknowledged");
    std::process::abort();
}
