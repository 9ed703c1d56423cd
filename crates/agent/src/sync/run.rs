//! The sync loop: fetch, then mint whatever fell due, until told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use steeple_core::{Clock, TrustDomain, rpc_code_name};
use steeple_telemetry::metric::CallTimer;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::taint::{is_tainted, tainted_key_ids};
use super::{FetchError, Minter, fetch_bundles, fetch_entries, plan};
use crate::cache::{Cache, JwtCache};
use crate::identity::Trouble;
use crate::metrics;
use crate::sync::random_fraction;
use crate::upstream::{Upstream, explained};

pub struct SyncDriver {
    pub upstream: Arc<Upstream>,
    pub cache: Arc<Cache>,
    pub jwt_cache: Arc<JwtCache>,
    pub minter: Minter,
    pub clock: Arc<dyn Clock>,
    pub interval: Duration,
    pub svids_max: usize,
    /// SyncAuthorizedEntries, rather than everything at every sync.
    pub incremental: bool,
    /// How long the first sync is tried.
    pub patience: Duration,
    /// Told about statuses that concern the agent's own identity; `None` once a server has answered again.
    pub trouble: watch::Sender<Option<Trouble>>,
    /// Unix seconds of the last success; 0 before the first.
    pub last_success: watch::Sender<i64>,
    /// Told about every own bundle that arrives: identity keeps it on disk.
    pub bundle_arrived: watch::Sender<Option<Arc<steeple_core::Bundle>>>,
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
            match self.fetch().await {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() + pause > self.patience => return Err(error),
                Err(error) => {
                    if let Some(status) = error.status() {
                        self.report(status);
                    }
                    tracing::warn!(error = %error, retry_interval = ?pause, "First sync failed; retrying");
                }
            }
            tokio::time::sleep(pause).await;
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
        let mut changes = self.cache.changes();
        let mut fetching = Pace::new(self.interval);
        let mut minting = Pace::new(MINT_RETRY);
        let mut fetch_at = Instant::now() + fetching.after(true, self.cache.svid_count() == 0);
        let mut mint_at = Instant::now();
        loop {
            changes.mark_unchanged();
            if Instant::now() >= mint_at {
                let outcome = self.mint_due().await;
                let wake = match outcome {
                    Ok(()) => {
                        minting.after(true, false);
                        self.until_next_rotation()
                    }
                    Err(status) => {
                        self.report(&status);
                        tracing::warn!(error = explained(&status), "Failed to mint SVIDs");
                        minting.after(false, false)
                    }
                };
                mint_at = Instant::now() + wake;
            }
            tokio::select! {
                // A new subscriber or an arrived entry: perhaps something is wanted now.
                _ = changes.changed() => mint_at = mint_at.min(Instant::now() + MINT_SOON),
                () = tokio::time::sleep_until(mint_at) => {}
                () = tokio::time::sleep_until(fetch_at) => {
                    let failure = self.fetch().await.err();
                    let trouble = failure.as_ref().and_then(FetchError::status).and_then(|status| self.report(status));
                    if let Some(error) = &failure {
                        tracing::warn!(%error, "Synchronize failed");
                    }
                    let succeeded = failure.is_none();
                    // A server that is not trusted is looked at often: how long that lasts decides what is done.
                    let soon = self.cache.svid_count() == 0 || trouble == Some(Trouble::UnknownAuthority);
                    fetch_at = Instant::now() + fetching.after(succeeded, soon);
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
        let known: BTreeMap<String, Arc<steeple_core::Entry>> =
            self.cache.entries().into_iter().map(|state| (state.entry.id.clone(), state.entry)).collect();
        let entries = fetch_entries(&self.upstream, &known, self.incremental).await?;
        for entry in entries.iter().filter(|entry| !known.contains_key(&entry.id)) {
            tracing::debug!(entry_id = %entry.id, spiffe_id = %entry.spiffe_id, "Entry created");
        }
        let domains: BTreeSet<TrustDomain> = entries
            .iter()
            .flat_map(|entry| entry.federates_with.iter().cloned())
            .filter(|domain| domain != self.cache.trust_domain())
            .collect();
        let bundles = fetch_bundles(&self.upstream, domains).await?;
        metrics::synced(&known, &entries, bundles.len());
        // Bundles first: an SVID must never be seen before the bundle that verifies it.
        self.cache.set_bundles(bundles);
        self.cache.set_entries(entries);
        self.drop_tainted();
        if let Some(own) = self.cache.own_bundle() {
            self.bundle_arrived.send_if_modified(|known| {
                let news = known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &own));
                if news {
                    *known = Some(own);
                }
                news
            });
        }
        let now = self.clock.now();
        self.last_success.send_replace(now.as_secs());
        metrics::sync_succeeded(now, self.interval);
        self.trouble.send_if_modified(|trouble| trouble.take().is_some());
        Ok(())
    }

    /// SVIDs signed by a tainted authority are replaced; tokens signed with a tainted key are forgotten.
    fn drop_tainted(&self) {
        let Some(bundle) = self.cache.own_bundle() else { return };
        let tainted_keys: Vec<String> =
            bundle.jwt_authorities.iter().filter(|key| key.tainted).map(|key| key.key_id.clone()).collect();
        if !tainted_keys.is_empty() {
            self.jwt_cache.forget_keys(&tainted_keys);
        }
        let tainted = tainted_key_ids(&bundle);
        if tainted.is_empty() {
            return;
        }
        let doomed: Vec<String> = self
            .cache
            .entries()
            .into_iter()
            .filter(|state| state.svid.as_ref().is_some_and(|svid| is_tainted(&svid.chain, &tainted)))
            .map(|state| state.entry.id.clone())
            .collect();
        if !doomed.is_empty() {
            tracing::info!(count = doomed.len(), "Tainted X.509 SVIDs");
            self.cache.outdate_svids(&doomed);
        }
    }

    async fn mint_due(&mut self) -> Result<(), Status> {
        let plan = plan(&self.cache.entries(), self.svids_max, self.clock.now());
        self.cache.drop_svids(&plan.drop);
        if plan.mint.is_empty() {
            return Ok(());
        }
        let timer = CallTimer::start(metrics::FETCH_SVIDS);
        let minted = self.minter.mint(&plan.mint).await;
        timer.done(rpc_code_name(minted.as_ref().map_or_else(Status::code, |()| Code::Ok) as i32));
        minted
    }

    fn until_next_rotation(&self) -> Duration {
        let now = self.clock.now();
        let plan = plan(&self.cache.entries(), self.svids_max, now);
        let wake = if plan.mint.is_empty() { plan.wake_at } else { Some(now.saturating_add(MINT_RETRY)) };
        // Wall clocks are stepped without notice: never trust a timer for longer than this.
        wake.map_or(RECHECK_MAX, |at| at.since(now).min(RECHECK_MAX))
    }

    fn report(&self, status: &Status) -> Option<Trouble> {
        let trouble = Trouble::of(status)?;
        self.trouble.send_replace(Some(trouble));
        Some(trouble)
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
const MINT_SOON: Duration = Duration::from_millis(5);
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
