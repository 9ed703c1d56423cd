//! Where cryptography runs. A hop to another thread and back costs as much as a signature, and a thread that computes
//! serves nobody else meanwhile: what is over in a moment stays where it is, and the rest goes to threads of its own.

use tokio::task::JoinError;

/// Runs `work` on `items` things that take some tens of microseconds each.
pub async fn compute<T: Send + 'static>(
    items: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if items <= ITEMS_HERE_MAX { Ok(work()) } else { tokio::task::spawn_blocking(work).await }
}

/// A fifth of a millisecond, which a heartbeat may wait.
const ITEMS_HERE_MAX: usize = 2;
