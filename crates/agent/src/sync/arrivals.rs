//! What happens with entries and bundles that a server sent, however they came.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use steeple_core::{Bundle, Clock, Entry, SpiffeId, TrustDomain};
use tokio::sync::watch;
use tonic::Status;

use super::Awaited;
use super::taint::{is_tainted, tainted_key_ids};
use crate::cache::{Cache, JwtCache};
use crate::identity::{Met, Trouble};
use crate::metrics;

/// A poll and a push stream may be under way at the same time: while one opens, or another was closed. Whoever arrives
/// says which [`Edition`] of the cache it was asked for or builds on, and what another one came before is not taken.
pub struct Arrivals {
    pub cache: Arc<Cache>,
    pub jwt_cache: Arc<JwtCache>,
    pub clock: Arc<dyn Clock>,
    /// `sync_interval`.
    pub interval: Duration,
    /// Told about statuses that concern the agent's own identity; `None` once a server has answered again.
    pub trouble: watch::Sender<Option<Met>>,
    /// Unix seconds of the last success; 0 before the first.
    pub last_success: watch::Sender<i64>,
    /// Told about every own bundle that arrives: identity keeps it on disk.
    pub bundle_arrived: watch::Sender<Option<Arc<Bundle>>>,
    /// Pushed entries on their way to an SVID.
    pub awaited: Arc<Awaited>,
    /// Held while something arrives.
    pub edition: Mutex<Edition>,
}

/// Counts what has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edition(u64);

/// Something else arrived meanwhile, by another way; it may be newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaken;

/// A part of what the agent may see.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// New or other than before.
    pub entries: Vec<Entry>,
    pub removed_entry_ids: Vec<String>,
    pub bundles: Vec<Bundle>,
    pub removed_trust_domains: BTreeSet<TrustDomain>,
}

impl Arrivals {
    pub fn edition(&self) -> Edition {
        *self.edition.lock()
    }

    /// Everything that the agent may see, as it was asked for when the cache had `edition`. `known` is what it had.
    pub fn all(
        &self,
        edition: Edition,
        known: &BTreeMap<String, Arc<Entry>>,
        entries: Vec<Entry>,
        bundles: Vec<Bundle>,
    ) -> Result<(), Overtaken> {
        let mut current = self.edition.lock();
        current.follow(edition)?;
        metrics::synced(known, &entries, bundles.len());
        // Bundles first: an SVID must never be seen before the bundle that verifies it.
        self.cache.set_bundles(bundles);
        self.cache.set_entries(entries);
        self.arrived();
        Ok(())
    }

    /// What is different from `edition`; the rest stays. The edition that it makes.
    pub fn changed(&self, edition: Edition, changed: Changed) -> Result<Edition, Overtaken> {
        let mut current = self.edition.lock();
        let edition = current.follow(edition)?;
        let Changed { entries, removed_entry_ids, bundles, removed_trust_domains } = changed;
        if !bundles.is_empty() || !removed_trust_domains.is_empty() {
            let kept = self.cache.bundles().into_iter().map(Arc::unwrap_or_clone).filter(|kept| {
                let replaced = bundles.iter().any(|bundle| bundle.trust_domain == kept.trust_domain);
                !replaced && !removed_trust_domains.contains(&kept.trust_domain)
            });
            let kept: Vec<Bundle> = kept.collect();
            self.cache.set_bundles(kept.into_iter().chain(bundles).collect());
        }
        if !entries.is_empty() || !removed_entry_ids.is_empty() {
            self.awaited.pushed(entries.iter().map(|entry| &entry.id));
            self.cache.change_entries(entries, &removed_entry_ids);
        }
        self.arrived();
        Ok(edition)
    }

    /// A server has said that nothing changed, or goes on saying so by keeping a stream open.
    pub fn in_step(&self) {
        let now = self.clock.now();
        self.last_success.send_replace(now.as_secs());
        metrics::sync_succeeded(now, self.interval);
        self.trouble.send_if_modified(|trouble| trouble.take().is_some());
    }

    /// Tells identity if `status` concerns it; `error` is what became of the call.
    pub fn report(&self, status: &Status, error: &dyn Display) -> Option<Trouble> {
        let trouble = Trouble::of(status)?;
        self.trouble.send_replace(Some(Met { trouble, error: error.to_string() }));
        Some(trouble)
    }

    fn arrived(&self) {
        if let Some(own) = self.cache.own_bundle() {
            let before = self.bundle_arrived.borrow().clone();
            tell_tainted(before.as_deref(), &own);
            self.drop_tainted(&own);
            self.bundle_arrived.send_if_modified(|known| {
                let news = known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &own));
                if news {
                    *known = Some(own);
                }
                news
            });
        }
        self.in_step();
    }

    /// SVIDs signed by a tainted authority are replaced; tokens signed with a tainted key are forgotten.
    fn drop_tainted(&self, own: &Bundle) {
        for (key_id, count) in self.jwt_cache.forget_keys(&tainted_keys(own)) {
            tracing::info!(
                jwt_authority_key_ids = key_id,
                tainted_jwt_svids = count,
                "JWT-SVIDs were removed from the JWT cache because they were issued by a tainted authority"
            );
        }
        let tainted = tainted_key_ids(own);
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
            let count = doomed.len();
            tracing::debug!(count, "Scheduled rotation for SVID entries due to tainted X.509 authorities");
            self.cache.outdate_svids(&doomed);
            tracing::info!(tainted_x509_svids = count, "Tainted X.509 SVIDs");
        }
    }
}

impl Edition {
    /// The next one, if this is still the one that it builds on.
    fn follow(&mut self, before: Self) -> Result<Self, Overtaken> {
        if *self != before {
            return Err(Overtaken);
        }
        self.0 += 1;
        Ok(*self)
    }
}

/// What the log calls entries.
pub(super) fn names<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Vec<(String, SpiffeId)> {
    entries.into_iter().map(|entry| (entry.id.clone(), entry.spiffe_id.clone())).collect()
}

/// SPIRE's lines for the authorities that were not tainted `before`.
fn tell_tainted(before: Option<&Bundle>, own: &Bundle) {
    let known = before.map(tainted_key_ids).unwrap_or_default();
    let roots: Vec<String> = tainted_key_ids(own).difference(&known).map(hex::encode).collect();
    if !roots.is_empty() {
        tracing::debug!(subject_key_ids = roots.join(","), "New tainted X.509 authorities found");
    }
    let known = before.map(tainted_keys).unwrap_or_default();
    let keys: Vec<String> = tainted_keys(own).difference(&known).cloned().collect();
    if !keys.is_empty() {
        tracing::debug!(jwt_authority_key_ids = keys.join(","), "New tainted JWT authorities found");
    }
}

fn tainted_keys(bundle: &Bundle) -> BTreeSet<String> {
    bundle.jwt_authorities.iter().filter(|key| key.tainted).map(|key| key.key_id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use steeple_core::SystemClock;

    use super::*;
    use crate::cache::tests::entry;

    fn arrivals() -> Arrivals {
        let own = TrustDomain::parse("td").unwrap();
        Arrivals {
            cache: Arc::new(Cache::new(own)),
            jwt_cache: Arc::new(JwtCache::new(1)),
            clock: Arc::new(SystemClock),
            interval: Duration::from_secs(5),
            trouble: watch::Sender::new(None),
            last_success: watch::Sender::new(0),
            bundle_arrived: watch::Sender::new(None),
            awaited: Arc::default(),
            edition: Mutex::default(),
        }
    }

    fn pushed(id: &str) -> Changed {
        Changed { entries: vec![entry(id, &["1"])], ..Changed::default() }
    }

    fn poll(arrivals: &Arrivals, edition: Edition, ids: &[&str]) -> Result<(), Overtaken> {
        arrivals.all(edition, &BTreeMap::new(), ids.iter().map(|id| entry(id, &["1"])).collect(), Vec::new())
    }

    #[test]
    fn a_poll_that_was_asked_before_a_push_does_not_undo_it() {
        let arrivals = arrivals();
        poll(&arrivals, arrivals.edition(), &["a"]).unwrap();
        let asked = arrivals.edition();
        arrivals.changed(arrivals.edition(), pushed("late")).unwrap();
        assert_eq!(poll(&arrivals, asked, &["a"]), Err(Overtaken));
        assert!(arrivals.cache.holds("late"));
        poll(&arrivals, arrivals.edition(), &["a"]).unwrap();
        assert!(!arrivals.cache.holds("late"), "it is gone by now");
    }

    #[test]
    fn a_stream_hears_that_a_poll_changed_what_it_builds_on() {
        let arrivals = arrivals();
        let opened = arrivals.edition();
        poll(&arrivals, arrivals.edition(), &["a"]).unwrap();
        assert_eq!(arrivals.changed(opened, pushed("b")), Err(Overtaken));
        assert!(!arrivals.cache.holds("b"));
        let first = arrivals.changed(arrivals.edition(), pushed("b")).unwrap();
        arrivals.changed(first, pushed("c")).unwrap();
        assert!(["a", "b", "c"].iter().all(|id| arrivals.cache.holds(id)));
    }
}
