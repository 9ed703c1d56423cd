//! Calls at their intended times, whatever became of the ones before.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Arrivals, Latency};

/// What is offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// On average, at random times.
    pub per_second: f64,
    pub duration: Duration,
    /// A call that has no answer by then failed.
    pub deadline: Duration,
    pub seed: u64,
}

/// What came of it. Latency is counted from the intended time, of calls that succeeded.
#[derive(Clone, Debug)]
pub struct Answered {
    pub offered: u64,
    pub latency: Latency,
    /// By reason.
    pub failed: BTreeMap<String, u64>,
    /// Intended time and latency, in order of the former; no latency where the call failed.
    pub calls: Vec<(Duration, Option<Duration>)>,
    pub seconds: f64,
}

/// Makes the calls, each in a task of its own, and waits for all of them. `call` gets the number of the call.
pub async fn open_loop<C, F>(offer: Offer, mut call: C) -> anyhow::Result<Answered>
where
    C: FnMut(u64) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let began = Instant::now();
    let mut open = JoinSet::new();
    let mut answered = Answered::none()?;
    for at in Arrivals::new(offer.per_second, offer.duration, offer.seed) {
        // The timer's grain is a millisecond: calls that are due within it go out together, which counts against them.
        sleep_until(began + at).await;
        while let Some(ended) = open.try_join_next() {
            answered.take(ended?);
        }
        answered.offered += 1;
        if open.len() >= OPEN_CALLS_MAX {
            answered.take((at, Err("too many calls open".to_owned())));
            continue;
        }
        let calling = call(answered.offered - 1);
        open.spawn(async move {
            let outcome = match timeout(offer.deadline, calling).await {
                Ok(Ok(())) => Ok((began + at).elapsed()),
                Ok(Err(error)) => Err(reason(&error)),
                Err(_) => Err("no answer in time".to_owned()),
            };
            (at, outcome)
        });
    }
    while let Some(ended) = open.join_next().await {
        answered.take(ended?);
    }
    answered.calls.sort_unstable_by_key(|(at, _)| *at);
    answered.seconds = offer.duration.as_secs_f64();
    Ok(answered)
}

impl Answered {
    fn none() -> anyhow::Result<Self> {
        let (failed, calls) = (BTreeMap::new(), Vec::new());
        Ok(Self { offered: 0, latency: Latency::new()?, failed, calls, seconds: 0.0 })
    }

    fn take(&mut self, (at, outcome): (Duration, Result<Duration, String>)) {
        match outcome {
            Ok(latency) => {
                self.latency.record(latency);
                self.calls.push((at, Some(latency)));
            }
            Err(reason) => {
                *self.failed.entry(reason).or_default() += 1;
                self.calls.push((at, None));
            }
        }
    }

    pub fn succeeded(&self) -> u64 {
        self.latency.count()
    }

    /// Of those that were offered.
    pub fn failed_share(&self) -> f64 {
        let failed: u64 = self.failed.values().sum();
        failed as f64 / self.offered.max(1) as f64
    }

    /// When the last call was due that failed or took longer than `limit`: after it, service was back.
    pub fn bad_until(&self, limit: Duration) -> Duration {
        let bad = |(_, latency): &&(Duration, Option<Duration>)| latency.is_none_or(|latency| latency > limit);
        self.calls.iter().rfind(bad).map_or(Duration::ZERO, |(at, _)| *at)
    }
}

/// The status code alone where there is one: messages differ from call to call.
fn reason(error: &anyhow::Error) -> String {
    match error.downcast_ref::<tonic::Status>() {
        Some(status) => format!("{:?}", status.code()),
        None => format!("{error:#}"),
    }
}

/// Bounds the generator's own memory when a server answers nothing.
const OPEN_CALLS_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn latency_counts_from_the_intended_time() {
        let (per_second, duration) = (100.0, Duration::from_secs(10));
        let offer = Offer { per_second, duration, deadline: Duration::from_secs(5), seed: 1 };
        let answered = open_loop(offer, |number| async move {
            tokio::time::sleep(Duration::from_millis(if number % 2 == 0 { 10 } else { 200 })).await;
            anyhow::ensure!(number != 7, "unlucky");
            Ok(())
        });
        let answered = answered.await.unwrap();
        assert_eq!(answered.succeeded() + 1, answered.offered);
        assert_eq!(answered.failed, BTreeMap::from([("unlucky".to_owned(), 1)]));
        assert!(answered.calls.is_sorted_by_key(|(at, _)| *at));
        let quantiles = answered.latency.quantiles();
        assert!(quantiles.p50 >= 10.0 && quantiles.max >= 200.0 && quantiles.max < 250.0, "{quantiles:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_fails_at_its_deadline() {
        let duration = Duration::from_secs(2);
        let offer = Offer { per_second: 10.0, duration, deadline: Duration::from_secs(1), seed: 2 };
        let answered = open_loop(offer, |_| std::future::pending()).await.unwrap();
        assert_eq!((answered.succeeded(), answered.failed_share()), (0, 1.0));
        assert_eq!(answered.bad_until(duration), answered.calls.last().unwrap().0);
    }
}
