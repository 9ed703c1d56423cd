//! Clients with one call open each: the rate is what the server makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// What was done in how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) calls: u64,
    pub(super) seconds: f64,
}

/// Lets every client call for `duration`; the first error ends it. A client makes the next call from a number that no
/// other gets.
pub(super) async fn closed_loop<C, F>(clients: Vec<C>, duration: Duration) -> anyhow::Result<Done>
where
    C: FnMut(u64) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let (began, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            let mut calls = 0;
            while began.elapsed() < duration {
                client(next.fetch_add(1, Ordering::Relaxed)).await?;
                calls += 1;
            }
            Ok::<u64, anyhow::Error>(calls)
        });
    }
    let mut calls = 0;
    while let Some(ended) = tasks.join_next().await {
        calls += ended??;
    }
    Ok(Done { calls, seconds: began.elapsed().as_secs_f64() })
}

impl Done {
    pub(super) fn per_second(self) -> f64 {
        self.calls as f64 / self.seconds
    }
}
