//! Threads of the consensus and the peer port, apart from those that serve clients: a full house at the API must not
//! delay a heartbeat.

use std::future::Future;
use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinError;

/// One for the consensus core, one for peers' sockets while the core is busy applying.
const WORKER_THREADS: usize = 2;
/// Snapshots and their transfers; more at once would only compete for the one disk.
const BLOCKING_THREADS_MAX: usize = 4;
/// How long a stop waits for a snapshot that is being written.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the consensus of a replica runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    Own,
    /// On the runtime that starts it, and until that ends: in a simulation one thread is the whole cluster.
    Callers,
}

pub(super) struct RaftThreads {
    handle: Handle,
    /// None once stopped, or where the threads are the caller's.
    runtime: Mutex<Option<Runtime>>,
}

impl RaftThreads {
    pub(super) fn start(threads: Threads) -> io::Result<Self> {
        if threads == Threads::Callers {
            return Ok(Self { handle: Handle::current(), runtime: Mutex::new(None) });
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("raft")
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `work` on these threads and waits for it from wherever the caller is.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.handle.spawn(work).await
    }

    /// Ends every task and waits until what they held is released.
    pub(super) async fn stop(&self) {
        let runtime = self.runtime.lock().take();
        if let Some(runtime) = runtime {
            // A runtime may not be joined from inside another one, only from a thread that may wait.
            let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(STOP_TIMEOUT)).await;
        }
    }
}

impl Drop for RaftThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}
