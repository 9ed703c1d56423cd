//! One request to the kubelet for everyone who waits.
//!
//! At most one request is under way, two starts are at least the poll interval apart, and a list counts as fresh until
//! the next request may start. Lists are numbered, so that whoever has looked at one in vain waits for a newer one. A
//! request that began is brought to its end even if nobody waits any more: its list serves the next.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use steeple_core::Clock;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::kubelet::Kubelet;
use super::pod::PodList;
use super::{KubeletError, KubeletSettings};

/// Clones are cheap and share what was fetched.
#[derive(Clone)]
pub(super) struct PodLists {
    inner: Arc<Inner>,
}

#[derive(Clone)]
pub(super) struct Numbered {
    pub number: u64,
    pub list: Arc<PodList>,
}

type Outcome = Result<Numbered, Arc<KubeletError>>;

struct Inner {
    settings: KubeletSettings,
    poll_interval: Duration,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    kubelet: Arc<Kubelet>,
    loaded_at: Instant,
    last_start: Option<Instant>,
    /// The last list and when its request started.
    held: Option<(Numbered, Instant)>,
    under_way: Option<watch::Receiver<Option<Outcome>>>,
    /// Why the last request brought no list.
    failure: Option<Arc<KubeletError>>,
}

impl PodLists {
    /// Reads the credentials, which must be usable at the start.
    pub(super) fn new(
        settings: KubeletSettings,
        poll_interval: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KubeletError> {
        let kubelet = Arc::new(Kubelet::load(&settings, &clock)?);
        let state =
            State { kubelet, loaded_at: Instant::now(), last_start: None, held: None, under_way: None, failure: None };
        Ok(Self { inner: Arc::new(Inner { settings, poll_interval, clock, state: Mutex::new(state) }) })
    }

    /// A list newer than `after`, of which 0 stands for none: the one that is held while it is fresh, otherwise the
    /// outcome of the next request.
    pub(super) async fn newer_than(&self, after: u64) -> Outcome {
        let mut outcome = {
            let mut state = self.inner.state.lock();
            if let Some(fresh) = state.fresh(after, self.inner.poll_interval) {
                return Ok(fresh);
            }
            match &state.under_way {
                Some(outcome) => outcome.clone(),
                None => {
                    let (sender, outcome) = watch::channel(None);
                    state.under_way = Some(outcome.clone());
                    tokio::spawn(Inner::fetch(Arc::clone(&self.inner), sender));
                    outcome
                }
            }
        };
        let came = outcome.wait_for(Option::is_some).await;
        match came.map(|outcome| outcome.clone()) {
            Ok(Some(outcome)) => outcome,
            // The runtime is shutting down.
            Ok(None) | Err(_) => Err(Arc::new(KubeletError::Timeout)),
        }
    }

    /// Why the last request failed; `None` if it did not.
    pub(super) fn last_failure(&self) -> Option<Arc<KubeletError>> {
        self.inner.state.lock().failure.clone()
    }
}

impl Inner {
    async fn fetch(self: Arc<Self>, sender: watch::Sender<Option<Outcome>>) {
        let not_before = self.state.lock().last_start.map(|start| start + self.poll_interval);
        if let Some(not_before) = not_before {
            sleep_until(not_before).await;
        }
        let started = Instant::now();
        self.state.lock().last_start = Some(started);
        let fetched = self.pods(started).await;
        let mut state = self.state.lock();
        state.under_way = None;
        let outcome = match fetched {
            Ok(list) => {
                let number = state.held.as_ref().map_or(0, |(held, _)| held.number) + 1;
                let numbered = Numbered { number, list: Arc::new(list) };
                state.held = Some((numbered.clone(), started));
                Ok(numbered)
            }
            Err(error) => Err(Arc::new(error)),
        };
        state.failure = outcome.as_ref().err().cloned();
        sender.send_replace(Some(outcome));
    }

    async fn pods(&self, now: Instant) -> Result<PodList, KubeletError> {
        let (kubelet, loaded_at) = {
            let state = self.state.lock();
            (Arc::clone(&state.kubelet), state.loaded_at)
        };
        if now.duration_since(loaded_at) < self.settings.reload_interval {
            return kubelet.pods().await;
        }
        let (settings, clock) = (self.settings.clone(), Arc::clone(&self.clock));
        let loaded = tokio::task::spawn_blocking(move || Kubelet::load(&settings, &clock)).await;
        let kubelet = Arc::new(loaded.map_err(|_| KubeletError::Timeout)??);
        {
            let mut state = self.state.lock();
            state.kubelet = Arc::clone(&kubelet);
            state.loaded_at = now;
        }
        kubelet.pods().await
    }
}

impl State {
    fn fresh(&self, after: u64, poll_interval: Duration) -> Option<Numbered> {
        let (held, started) = self.held.as_ref()?;
        (held.number > after && started.elapsed() < poll_interval).then(|| held.clone())
    }
}
