//! The sync loop: fetch, then mint whatever fell due, until told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use steeple_core::{Entry, TrustDomain, rpc_code_name};
use steeple_telemetry::metric::CallTimer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::arrivals::{Overtaken, names};
use super::{Arrivals, FetchError, Minter, Plan, Sessions, fetch_bundles, fetch_entries, plan};
use crate::identity::Trouble;
use crate::metrics;
use crate::stores::Stores;
use crate::sync::random_fraction;
use crate::upstream::{Upstream, explained, pause_as_told};

pub struct SyncDriver {
    pub upstream: Arc<Upstream>,
    pub arrivals: Arc<Arrivals>,
    pub minter: Minter,
    pub svids_max: usize,
    /// What they take is minted beside that.
    pub stores: Stores,
    /// SyncAuthorizedEntries, rather than everything at every sync.
    pub incremental: bool,
    /// How long the first sync is tried.
    pub patience: Duration,
    /// While there is one nothing has to be fetched.
    pub sessions: Sessions,
    /// Whether the cache has what a server said in the life of this process.
    pub fetched: bool,
}

/// When to fetch next, and how patient to be.
struct Pace {
    interval: Duration,
    backoff: Duration,
}

impl SyncDriver {
    /// The first sync, with retries: there is nothing to serve before it (SPIRE behaviour).
    pub async fn first(&mut self) -> Result<(), FetchError> {
        let begun = Instant::now();
        let mut pause = FIRST_SYNC_PAUSE;
        loop {
            let error = match self.fetch().await {
                Ok(()) => {
                    self.fetched = true;
                    return Ok(());
                }
                Err(error) if begun.elapsed() + pause > self.patience => return Err(error),
                Err(error) => error,
            };
            if let Some(status) = error.status() {
                self.arrivals.report(status, &error);
            }
            tracing::warn!(error = %error, retry_interval = ?pause, "First sync failed; retrying");
            tokio::time::sleep(pause_as_told(pause, error.status())).await;
            pause = pause.mul_f64(1.5).min(FIRST_SYNC_PAUSE_MAX);
        }
    }

    /// Runs until `stop`, which also ends a call that nobody answers.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.keep_in_sync() => match never {},
        }
    }

    async fn keep_in_sync(&mut self) -> Infallible {
        let cache = Arc::clone(&self.arrivals.cache);
        let mut sessions = self.sessions.clone();
        let mut changes = cache.changes();
        let mut fetching = Pace::new(self.arrivals.interval);
        let mut minting = Pace::new(MINT_RETRY);
        let pause = fetching.after(true, cache.svid_count() == 0);
        let mut fetch_at = Instant::now() + if self.fetched { pause } else { Duration::ZERO };
        let mut mint_at = Instant::now();
        loop {
            if Instant::now() >= mint_at {
                changes.mark_unchanged();
                let outcome = self.mint_due().await;
                let wake = match outcome {
                    Ok(()) => {
                        minting.after(true, false);
                        self.until_next_rotation()
                    }
                    Err(status) => {
                        let error = explained(&status);
                        self.arrivals.report(&status, &error);
                        tracing::warn!(error, "Failed to mint SVIDs");
                        pause_as_told(minting.after(false, false), Some(&status)).min(self.until_next_end())
                    }
                };
                mint_at = Instant::now() + wake;
            }
            tokio::select! {
                // An arrived entry: perhaps something is wanted now.
                _ = changes.changed() => mint_at = mint_at.min(Instant::now() + MINT_SOON),
                () = cache.svid_wanted() => mint_at = mint_at.min(Instant::now() + MINT_SOON),
                () = tokio::time::sleep_until(mint_at) => {}
                Ok(()) = sessions.changed() => {
                    if sessions.borrow_and_update().is_none() {
                        // The servers get back those whose stream they ended one after the other.
                        fetch_at = Instant::now() + self.arrivals.interval.mul_f64(random_fraction());
                    }
                }
                () = tokio::time::sleep_until(fetch_at), if sessions.borrow().is_none() => {
                    let failure = self.fetch().await.err();
                    let mut trouble = None;
                    if let Some(error) = &failure {
                        tracing::error!(%error, "Synchronize failed");
                        trouble = error.status().and_then(|status| self.arrivals.report(status, error));
                    }
                    let succeeded = failure.is_none();
                    // A server that is not trusted is looked at often: how long that lasts decides what is done.
                    let soon = cache.svid_count() == 0 || trouble == Some(Trouble::UnknownAuthority);
                    let pause = fetching.after(succeeded, soon);
                    let status = failure.as_ref().and_then(FetchError::status);
                    fetch_at = Instant::now() + pause_as_told(pause, status);
                    if succeeded {
                        mint_at = Instant::now();
                    }
                }
            }
        }
    }

    async fn fetch(&self) -> Result<(), FetchError> {
        let timer = CallTimer::start(metrics::FETCH_ENTRIES);
        let fetched = self.fetch_all().await;
        let code = |error: &FetchError| error.status().map_or(Code::Unknown, Status::code);
        timer.done(rpc_code_name(fetched.as_ref().map_or_else(code, |()| Code::Ok) as i32));
        fetched
    }

    async fn fetch_all(&self) -> Result<(), FetchError> {
        let (cache, edition) = (&self.arrivals.cache, self.arrivals.edition());
        let known: BTreeMap<String, Arc<Entry>> =
            cache.entries().into_iter().map(|state| (state.entry.id.clone(), state.entry)).collect();
        let entries = fetch_entries(&self.upstream, &known, self.incremental).await?;
        let created = names(entries.iter().filter(|entry| !known.contains_key(&entry.id)));
        let domains: BTreeSet<TrustDomain> = entries
            .iter()
            .flat_map(|entry| entry.federates_with.iter().cloned())
            .filter(|domain| domain != cache.trust_domain())
            .collect();
        let bundles = fetch_bundles(&self.upstream, domains).await?;
        if let Err(Overtaken) = self.arrivals.all(edition, &known, entries, bundles) {
            tracing::debug!("what was polled was overtaken by what was pushed");
            return Ok(());
        }
        // Whoever reads this can count on being served the entry.
        for (entry_id, spiffe_id) in &created {
            tracing::debug!(entry_id, %spiffe_id, "Entry created");
        }
        Ok(())
    }

    async fn mint_due(&mut self) -> Result<(), Status> {
        let planned_at = Instant::now();
        let plan = self.plan();
        self.arrivals.awaited.keep(&plan.mint, planned_at);
        let cache = &self.arrivals.cache;
        cache.drop_svids(&plan.drop);
        if plan.mint.is_empty() {
            return Ok(());
        }
        let timer = CallTimer::start(metrics::FETCH_SVIDS);
        let minted = self.minter.mint(&plan.mint).await;
        timer.done(rpc_code_name(minted.as_ref().map_or_else(Status::code, |()| Code::Ok) as i32));
        minted
    }

    fn plan(&self) -> Plan {
        let is_stored = |entry: &Entry| self.stores.takes(entry);
        plan(&self.arrivals.cache.entries(), self.svids_max, &is_stored, self.arrivals.clock.now())
    }

    /// What has expired is dropped in time, also while no server answers.
    fn until_next_end(&self) -> Duration {
        let now = self.arrivals.clock.now();
        let states = self.arrivals.cache.entries();
        let ends = states.iter().filter_map(|state| state.svid.as_ref()).map(|svid| svid.remaining(now));
        ends.min().unwrap_or(RECHECK_MAX)
    }

    fn until_next_rotation(&self) -> Duration {
        let (plan, now) = (self.plan(), self.arrivals.clock.now());
        let wake = if plan.mint.is_empty() { plan.wake_at } else { Some(now.saturating_add(MINT_RETRY)) };
        // Wall clocks are stepped without notice: never trust a timer for longer than this.
        wake.map_or(RECHECK_MAX, |at| at.since(now).min(RECHECK_MAX))
    }
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self { interval, backoff: interval }
    }

    /// The pause after an attempt: the interval give or take a tenth, growing by half while attempts fail.
    fn after(&mut self, succeeded: bool, soon: bool) -> Duration {
        self.backoff = if succeeded {
            self.interval
        } else {
            let longest = (self.interval * 48).min(BACKOFF_MAX);
            self.backoff.mul_f64(1.5).min(longest)
        };
        let pause = if soon { self.backoff.min(EMPTY_PAUSE_MAX) } else { self.backoff };
        pause.mul_f64(0.9 + 0.2 * random_fraction())
    }
}

/// SPIRE's bound.
const BACKOFF_MAX: Duration = Duration::from_secs(8 * 60);
/// While there is nothing to serve, waiting long helps nobody (SPIRE behaviour).
const EMPTY_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Several changes that arrive together are minted together.
const MINT_SOON: Duration = Duration::from_millis(1);
const FIRST_SYNC_PAUSE: Duration = Duration::from_secs(1);
const FIRST_SYNC_PAUSE_MAX: Duration = Duration::from_secs(120);
const MINT_RETRY: Duration = Duration::from_millis(500);
const RECHECK_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_to_a_bound_and_success_resets() {
        let mut pace = Pace::new(Duration::from_secs(5));
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            last = pace.after(false, false);
        }
        assert!(last >= Duration::from_secs(216) && last <= Duration::from_secs(264), "{last:?}");
        assert!(pace.after(false, true) <= Duration::from_millis(5500));
        let first = pace.after(true, false);
        assert!(first >= Duration::from_millis(4500) && first <= Duration::from_millis(5500), "{first:?}");
    }
}
