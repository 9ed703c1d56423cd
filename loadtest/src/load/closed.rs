//! Clients with one call open each: the rate is what the server makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Latency;

/// What was done in how long. Latencies are those of a queue as long as there are clients.
#[derive(Clone, Debug)]
pub struct Done {
    pub calls: u64,
    pub seconds: f64,
    pub latency: Latency,
}

/// Lets every client call for `duration`; the first error ends it. A client makes the next call from a number that no
/// other gets.
pub async fn closed_loop<C, F>(clients: Vec<C>, duration: Duration) -> anyhow::Result<Done>
where
    C: FnMut(u64) -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let (began, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (next, mut latency) = (Arc::clone(&next), Latency::new()?);
        tasks.spawn(async move {
            while began.elapsed() < duration {
                let called = Instant::now();
                client(next.fetch_add(1, Ordering::Relaxed)).await?;
                latency.record(called.elapsed());
            }
            Ok::<Latency, anyhow::Error>(latency)
        });
    }
    let mut latency = Latency::new()?;
    while let Some(ended) = tasks.join_next().await {
        latency.add(&ended??);
    }
    Ok(Done { calls: latency.count(), seconds: began.elapsed().as_secs_f64(), latency })
}

impl Done {
    pub fn per_second(&self) -> f64 {
        self.calls as f64 / self.seconds
    }
}
