//! The cache itself: entries by id, an index from selector to entries, bundles, and a number that changes with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use steeple_core::{Bundle, Entry, Selector, SelectorSet, TrustDomain};
use tokio::sync::{Notify, watch};

use super::X509Svid;
use super::view::{WorkloadIdentity, WorkloadView};

/// Shared by sync (which writes) and streams (which read).
pub struct Cache {
    trust_domain: TrustDomain,
    inner: RwLock<Inner>,
    changed: watch::Sender<u64>,
    wanted: Notify,
}

#[derive(Default)]
struct Inner {
    entries: BTreeMap<String, Held>,
    /// From an entry's first selector to the entry: a workload that lacks it cannot match. Storable entries are not
    /// here: they are for stores, and no workload finds them.
    by_first_selector: HashMap<Selector, BTreeSet<String>>,
    bundles: BTreeMap<TrustDomain, Arc<Bundle>>,
    /// How often a stream began or ceased to want an entry: the order of such moments.
    moments: u64,
}

struct Held {
    entry: Arc<Entry>,
    svid: Option<Arc<X509Svid>>,
    /// To be replaced whatever its dates say: its authority is tainted.
    outdated: bool,
    /// Streams that want this entry now.
    subscribers: usize,
    /// The moment when a stream last began or ceased to want it; 0 for never.
    last_wanted: u64,
}

/// What the plan needs to know of an entry.
#[derive(Clone, Debug)]
pub struct EntryState {
    pub entry: Arc<Entry>,
    pub svid: Option<Arc<X509Svid>>,
    /// The SVID has to be replaced whatever its dates say.
    pub outdated: bool,
    pub subscribed: bool,
    /// Greater for an entry that a stream wanted later than another; 0 for one that none has wanted.
    pub last_wanted: u64,
}

impl Cache {
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self { trust_domain, inner: RwLock::default(), changed: watch::Sender::new(0), wanted: Notify::new() }
    }

    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// A number that is different whenever something is. Streams await its change and look again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Until a stream wants an entry whose SVID is not there, since this was last awaited. For one waiter.
    pub async fn svid_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Replaces the entries. SVIDs of entries that stay are kept, even when the entry changed: the plan replaces them.
    pub fn set_entries(&self, entries: Vec<Entry>) {
        let mut inner = self.inner.write();
        let mut old = std::mem::take(&mut inner.entries);
        inner.by_first_selector.clear();
        let mut different = false;
        for entry in entries {
            let known = old.remove(&entry.id);
            different |= inner.put(known, entry);
        }
        different |= !old.is_empty();
        drop(inner);
        if different {
            self.bump();
        }
    }

    /// Adds or replaces `entries` and removes `gone`, as [`Self::set_entries`] would.
    pub fn change_entries(&self, entries: Vec<Entry>, gone: &[String]) {
        let mut inner = self.inner.write();
        let mut different = false;
        for id in gone {
            different |= inner.take(id).is_some();
        }
        for entry in entries {
            let known = inner.take(&entry.id);
            different |= inner.put(known, entry);
        }
        drop(inner);
        if different {
            self.bump();
        }
    }

    /// Replaces all bundles, the own one included. Equal ones keep their place, so that nobody is told about them.
    pub fn set_bundles(&self, bundles: Vec<Bundle>) {
        let mut inner = self.inner.write();
        let mut old = std::mem::take(&mut inner.bundles);
        let mut different = false;
        for bundle in bundles {
            let kept = old.remove(&bundle.trust_domain).filter(|kept| same_content(kept, &bundle));
            different |= kept.is_none();
            let bundle = kept.unwrap_or_else(|| Arc::new(bundle));
            inner.bundles.insert(bundle.trust_domain.clone(), bundle);
        }
        different |= !old.is_empty();
        drop(inner);
        if different {
            self.bump();
        }
    }

    /// Stores a fresh SVID, unless its entry went away meanwhile.
    pub fn put_svid(&self, entry_id: &str, svid: X509Svid) {
        let mut inner = self.inner.write();
        let Some(held) = inner.entries.get_mut(entry_id) else { return };
        held.svid = Some(Arc::new(svid));
        held.outdated = false;
        drop(inner);
        self.bump();
    }

    /// Drops the SVIDs of `entry_ids`, to make room or because their authority is tainted.
    pub fn drop_svids(&self, entry_ids: &[String]) {
        let mut inner = self.inner.write();
        for id in entry_ids {
            if let Some(held) = inner.entries.get_mut(id) {
                held.svid = None;
            }
        }
    }

    /// Marks SVIDs as due now, while they go on being served until their successors are there.
    pub fn outdate_svids(&self, entry_ids: &[String]) {
        let mut inner = self.inner.write();
        for id in entry_ids {
            if let Some(held) = inner.entries.get_mut(id) {
                held.outdated = held.svid.is_some();
            }
        }
        drop(inner);
        self.bump();
    }

    pub fn own_bundle(&self) -> Option<Arc<Bundle>> {
        self.inner.read().bundles.get(&self.trust_domain).cloned()
    }

    /// Every bundle that the agent knows.
    pub fn bundles(&self) -> Vec<Arc<Bundle>> {
        self.inner.read().bundles.values().cloned().collect()
    }

    /// Every entry, by id.
    pub fn entries(&self) -> Vec<EntryState> {
        let inner = self.inner.read();
        let states = inner.entries.values().map(|held| EntryState {
            entry: Arc::clone(&held.entry),
            svid: held.svid.clone(),
            outdated: held.outdated,
            subscribed: held.subscribers > 0,
            last_wanted: held.last_wanted,
        });
        states.collect()
    }

    pub fn holds(&self, entry_id: &str) -> bool {
        self.inner.read().entries.contains_key(entry_id)
    }

    /// SVIDs for workloads.
    pub fn svid_count(&self) -> usize {
        self.count_svids(false)
    }

    /// SVIDs for stores.
    pub fn stored_svid_count(&self) -> usize {
        self.count_svids(true)
    }

    fn count_svids(&self, store_svid: bool) -> usize {
        let inner = self.inner.read();
        inner.entries.values().filter(|held| held.svid.is_some() && held.entry.store_svid == store_svid).count()
    }

    /// The entries that a workload with these selectors may have, by id.
    pub fn matching(&self, selectors: &SelectorSet) -> Vec<Arc<Entry>> {
        self.inner.read().matching(selectors).map(|held| Arc::clone(&held.entry)).collect()
    }

    /// What a workload with these selectors sees now. Entries whose SVID is not there yet are left out.
    pub fn view(&self, selectors: &SelectorSet) -> WorkloadView {
        let inner = self.inner.read();
        let (mut identities, mut federated, mut awaited) = (Vec::new(), BTreeMap::new(), 0);
        for held in inner.matching(selectors) {
            match &held.svid {
                Some(svid) => {
                    identities.push(WorkloadIdentity { entry: Arc::clone(&held.entry), svid: Arc::clone(svid) });
                }
                None => awaited += 1,
            }
            for domain in &held.entry.federates_with {
                if *domain != self.trust_domain
                    && let Some(bundle) = inner.bundles.get(domain)
                {
                    federated.insert(domain.clone(), Arc::clone(bundle));
                }
            }
        }
        WorkloadView { identities, bundle: inner.bundles.get(&self.trust_domain).cloned(), federated, awaited }
    }

    /// Counts a stream as wanting what its selectors match, until the guard is dropped.
    pub fn subscribe(self: &Arc<Self>, selectors: SelectorSet) -> Subscription {
        let subscription = Subscription { cache: Arc::clone(self), selectors, entry_ids: BTreeSet::new() };
        subscription.refreshed()
    }

    fn bump(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

impl Inner {
    /// Without its place in the index.
    fn take(&mut self, id: &str) -> Option<Held> {
        let held = self.entries.remove(id)?;
        let first = held.entry.selectors.as_slice().first();
        if let Some(first) = first
            && let Some(ids) = self.by_first_selector.get_mut(first)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.by_first_selector.remove(first);
            }
        }
        Some(held)
    }

    /// In the place of `known`, which was taken out. Whether anything is different then; an entry without selectors
    /// matches nobody and is left out.
    fn put(&mut self, known: Option<Held>, entry: Entry) -> bool {
        let Some(first) = entry.selectors.as_slice().first().cloned() else { return known.is_some() };
        if !entry.store_svid {
            self.by_first_selector.entry(first).or_default().insert(entry.id.clone());
        }
        // What was made for workloads is never stored, and what was stored is never served.
        let changes_sides = known.as_ref().is_some_and(|held| held.entry.store_svid != entry.store_svid);
        let (held, different) = match known.filter(|_| !changes_sides) {
            Some(held) if *held.entry == entry => (held, false),
            Some(held) => (Held { entry: Arc::new(entry), ..held }, true),
            None => {
                (Held { entry: Arc::new(entry), svid: None, outdated: false, subscribers: 0, last_wanted: 0 }, true)
            }
        };
        self.entries.insert(held.entry.id.clone(), held);
        different
    }

    /// Counts the streams that want an entry anew; whether its SVID is missing.
    fn count(&mut self, id: &str, change: impl FnOnce(usize) -> usize) -> bool {
        let Some(held) = self.entries.get_mut(id) else { return false };
        self.moments += 1;
        held.last_wanted = self.moments;
        held.subscribers = change(held.subscribers);
        held.svid.is_none()
    }

    fn matching<'a>(&'a self, selectors: &'a SelectorSet) -> impl Iterator<Item = &'a Held> {
        let ids: BTreeSet<&String> =
            selectors.iter().filter_map(|selector| self.by_first_selector.get(selector)).flatten().collect();
        ids.into_iter().filter_map(|id| self.entries.get(id)).filter(|held| held.entry.selectors.is_subset(selectors))
    }
}

/// A stream's claim on its entries: they are minted first and never dropped for room.
pub struct Subscription {
    cache: Arc<Cache>,
    selectors: SelectorSet,
    entry_ids: BTreeSet<String>,
}

impl Subscription {
    /// Follows a change of the entries.
    pub fn refresh(&mut self) {
        let now: BTreeSet<String> = {
            let inner = self.cache.inner.read();
            inner.matching(&self.selectors).map(|held| held.entry.id.clone()).collect()
        };
        if now == self.entry_ids {
            return;
        }
        let mut inner = self.cache.inner.write();
        let mut missing = false;
        for id in now.difference(&self.entry_ids) {
            missing |= inner.count(id, |subscribers| subscribers + 1);
        }
        for id in self.entry_ids.difference(&now) {
            inner.count(id, |subscribers| subscribers.saturating_sub(1));
        }
        drop(inner);
        self.entry_ids = now;
        if missing {
            self.cache.wanted.notify_one();
        }
    }

    fn refreshed(mut self) -> Self {
        self.refresh();
        self
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inner = self.cache.inner.write();
        for id in &self.entry_ids {
            inner.count(id, |subscribers| subscribers.saturating_sub(1));
        }
    }
}

/// The sequence number alone is no change that a workload could see.
fn same_content(a: &Bundle, b: &Bundle) -> bool {
    a.x509_authorities == b.x509_authorities
        && a.jwt_authorities == b.jwt_authorities
        && a.refresh_hint == b.refresh_hint
}

#[cfg(test)]
pub(crate) mod tests {
    use futures::FutureExt as _;
    use steeple_core::{Secret, SpiffeId, Timestamp};

    use super::*;
    use crate::cache::{Readiness, RotationRule};

    pub(crate) fn set(values: &[&str]) -> SelectorSet {
        values.iter().map(|value| Selector::new("unix", *value).unwrap()).collect()
    }

    pub(crate) fn entry(id: &str, selectors: &[&str]) -> Entry {
        Entry {
            id: id.into(),
            spiffe_id: SpiffeId::parse(&format!("spiffe://td/{id}")).unwrap(),
            parent_id: SpiffeId::parse("spiffe://td/spire/agent/x").unwrap(),
            selectors: set(selectors),
            x509_svid_ttl: 0,
            jwt_svid_ttl: 0,
            federates_with: Vec::new(),
            admin: false,
            downstream: false,
            expires_at: 0,
            dns_names: Vec::new(),
            revision: 0,
            store_svid: false,
            hint: String::new(),
            created_at: 1,
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: false,
        }
    }

    pub(crate) fn svid(id: &str, issued_at: i64, not_after: i64) -> X509Svid {
        let (issued_at, not_after) = (Timestamp::from_secs(issued_at), Timestamp::from_secs(not_after));
        X509Svid {
            spiffe_id: SpiffeId::parse(&format!("spiffe://td/{id}")).unwrap(),
            chain: vec![vec![1]],
            key: Secret::new(vec![2]),
            issued_at,
            not_after,
            rotate_at: RotationRule::default().rotate_at(issued_at, not_after, 0.5),
            revision: 0,
            created_at: 1,
        }
    }

    fn cache() -> Arc<Cache> {
        Arc::new(Cache::new(TrustDomain::parse("td").unwrap()))
    }

    #[test]
    fn an_entry_matches_when_its_selectors_are_a_subset() {
        let cache = cache();
        cache.set_entries(vec![entry("b", &["1"]), entry("a", &["1", "2"]), entry("c", &["3"])]);
        let ids = |selectors: &[&str]| -> Vec<String> {
            cache.matching(&set(selectors)).iter().map(|entry| entry.id.clone()).collect()
        };
        assert_eq!(ids(&["1"]), ["b"]);
        assert_eq!(ids(&["2", "1"]), ["a", "b"]);
        assert_eq!(ids(&["2"]), [""; 0]);
        assert_eq!(ids(&[]), [""; 0]);
    }

    #[test]
    fn storable_entries_are_for_no_workload_and_their_svids_change_no_sides() {
        let cache = cache();
        let storable = || Entry { store_svid: true, ..entry("a", &["1"]) };
        cache.set_entries(vec![storable(), entry("b", &["1"])]);
        cache.put_svid("a", svid("a", 0, 10));
        let ids: Vec<String> = cache.matching(&set(&["1"])).iter().map(|entry| entry.id.clone()).collect();
        assert_eq!(ids, ["b"]);
        assert_eq!(cache.view(&set(&["1"])).awaited, 1);
        assert_eq!((cache.svid_count(), cache.stored_svid_count()), (0, 1));
        cache.set_entries(vec![entry("a", &["1"])]);
        assert_eq!(cache.matching(&set(&["1"])).len(), 1);
        assert_eq!(cache.view(&set(&["1"])).readiness(), Readiness::Waiting);
        cache.put_svid("a", svid("a", 0, 10));
        cache.change_entries(vec![storable()], &[]);
        assert_eq!((cache.matching(&set(&["1"])).len(), cache.stored_svid_count()), (0, 0));
    }

    #[test]
    fn the_first_message_waits_for_every_svid() {
        let cache = cache();
        cache.set_entries(vec![entry("a", &["1"]), entry("b", &["1"])]);
        assert_eq!(cache.view(&set(&["1"])).readiness(), Readiness::Waiting);
        cache.put_svid("a", svid("a", 0, 10));
        assert_eq!(cache.view(&set(&["1"])).readiness(), Readiness::Waiting);
        cache.put_svid("b", svid("b", 0, 10));
        assert_eq!(cache.view(&set(&["1"])).readiness(), Readiness::Ready);
        assert_eq!(cache.view(&set(&["9"])).readiness(), Readiness::NoIdentity);
        let ids: Vec<String> =
            cache.view(&set(&["1"])).identities.iter().map(|identity| identity.entry.id.clone()).collect();
        assert_eq!(ids, ["a", "b"]);
    }

    #[test]
    fn equal_content_tells_nobody() {
        let cache = cache();
        let mut changes = cache.changes();
        let bundle = |sequence| Bundle { sequence, ..Bundle::empty(TrustDomain::parse("td").unwrap()) };
        cache.set_entries(vec![entry("a", &["1"])]);
        cache.set_bundles(vec![bundle(1)]);
        changes.mark_unchanged();
        cache.set_entries(vec![entry("a", &["1"])]);
        cache.set_bundles(vec![bundle(2)]);
        assert!(!changes.has_changed().unwrap());
        cache.set_entries(vec![Entry { revision: 1, ..entry("a", &["1"]) }]);
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn changes_lead_to_what_the_whole_would() {
        let (whole, changed) = (cache(), cache());
        for cache in [&whole, &changed] {
            cache.set_entries(vec![entry("a", &["1"]), entry("b", &["2"]), entry("c", &["3"])]);
            cache.put_svid("b", svid("b", 0, 10));
        }
        let other = Entry { revision: 1, ..entry("b", &["4", "5"]) };
        whole.set_entries(vec![entry("a", &["1"]), other.clone(), entry("d", &["1"])]);
        changed.change_entries(vec![other.clone(), entry("d", &["1"])], &["c".to_owned()]);
        for selectors in [&["1"][..], &["2"], &["3"], &["4", "5"]] {
            let served = |cache: &Cache| -> Vec<(Arc<Entry>, i64)> {
                let identities = cache.view(&set(selectors)).identities.into_iter();
                identities.map(|identity| (identity.entry, identity.svid.revision)).collect()
            };
            assert_eq!(served(&whole), served(&changed));
            assert_eq!(whole.matching(&set(selectors)), changed.matching(&set(selectors)));
        }
        let mut changes = changed.changes();
        changes.mark_unchanged();
        changed.change_entries(vec![other], &["c".to_owned()]);
        assert!(!changes.has_changed().unwrap());
    }

    #[tokio::test]
    async fn whoever_mints_hears_of_a_stream_that_waits_and_of_no_other() {
        let cache = cache();
        cache.set_entries(vec![entry("a", &["1"]), entry("b", &["2"])]);
        cache.put_svid("a", svid("a", 0, 10));
        let of_held = cache.subscribe(set(&["1"]));
        assert!(cache.svid_wanted().now_or_never().is_none());
        let waiting = cache.subscribe(set(&["2"]));
        cache.svid_wanted().now_or_never().unwrap();
        drop((of_held, waiting));
        assert!(cache.svid_wanted().now_or_never().is_none());
        let last: Vec<u64> = cache.entries().iter().map(|state| state.last_wanted).collect();
        assert_eq!(last, [3, 4]);
    }

    #[test]
    fn a_subscription_follows_entries_and_ends_with_its_guard() {
        let cache = cache();
        cache.set_entries(vec![entry("a", &["1"])]);
        let mut subscription = cache.subscribe(set(&["1", "2"]));
        let subscribed = || -> Vec<bool> { cache.entries().iter().map(|state| state.subscribed).collect() };
        assert_eq!(subscribed(), [true]);
        cache.set_entries(vec![entry("a", &["1"]), entry("b", &["2"])]);
        subscription.refresh();
        assert_eq!(subscribed(), [true, true]);
        cache.set_entries(vec![entry("b", &["2"])]);
        subscription.refresh();
        drop(subscription);
        assert_eq!(subscribed(), [false]);
    }
}
