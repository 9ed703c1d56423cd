//! Where cryptography runs. A hop to another thread and back costs as much as a signature, and a thread that computes
//! serves nobody else meanwhile: what is over in a moment stays where it is, and the rest goes to threads of its own.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Hundreds of threads that compute would let those of the consensus wait for their turn.
static CORES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// Runs `work` on `items` things that take some tens of microseconds each; what is long waits until a core is free.
pub async fn compute<T: Send + 'static>(
    items: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if items <= ITEMS_HERE_MAX {
        return Ok(work());
    }
    // Never closed. It goes with the work: who asked for it may be gone meanwhile, and the thread is not.
    let core = CORES.acquire().await.ok();
    let on_core = move || {
        let _until_done = core;
        work()
    };
    tokio::task::spawn_blocking(on_core).await
}

/// A fifth of a millisecond, which a heartbeat may wait.
const ITEMS_HERE_MAX: usize = 2;
