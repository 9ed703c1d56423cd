//! Which place of which store is for whose SVID.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use steeple_core::plugin::{StoreError, StorePlace, SvidStore};
use steeple_core::{Bundle, Entry, TrustDomain};

use crate::cache::{Cache, X509Svid, are_same};

/// The stores that are configured.
#[derive(Clone, Default)]
pub struct Stores(Vec<Arc<dyn SvidStore>>);

/// A place in a store, by the store's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    pub store: String,
    pub place: StorePlace,
}

/// What a place should have.
#[derive(Clone, Debug)]
pub struct Claim {
    pub entry: Arc<Entry>,
    /// Of the entry's selectors.
    pub values: Vec<String>,
    /// `None` while there is no SVID to put there.
    pub content: Option<Content>,
}

#[derive(Clone, Debug)]
pub struct Content {
    pub svid: Arc<X509Svid>,
    pub bundle: Arc<Bundle>,
    pub federated: BTreeMap<TrustDomain, Arc<Bundle>>,
}

/// Every place that is claimed, and the entries that claim none.
#[derive(Debug, Default)]
pub struct Claims {
    pub slots: BTreeMap<Slot, Claim>,
    pub refused: Vec<(Arc<Entry>, Refusal)>,
}

/// Why an entry's SVID is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Invalid store name in selectors: selector contains multiple types")]
    SeveralTypes,
    #[error("Error storing SVID: SVIDStore {0:?} not found: configure it, or change the entry's selectors")]
    NotFound(String),
    #[error("Invalid selectors: {0}")]
    Selectors(StoreError),
    #[error("{slot} is already for entry {holder}: give one of them other selectors")]
    Taken { slot: Slot, holder: String },
    #[error("there are more than {STORED_MAX} storable entries")]
    TooMany,
}

impl Stores {
    pub fn new(stores: Vec<Arc<dyn SvidStore>>) -> Self {
        Self(stores)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn SvidStore>> {
        self.0.iter()
    }

    pub fn named(&self, name: &str) -> Option<&Arc<dyn SvidStore>> {
        self.0.iter().find(|store| store.name() == name)
    }

    /// Where an entry's SVID goes, and the values of its selectors (SPIRE behaviour: all selectors of one type, which
    /// names the store).
    pub fn slot_of(&self, entry: &Entry) -> Result<(Slot, Vec<String>), Refusal> {
        let selectors = entry.selectors.as_slice();
        let name = selectors.first().map(|first| first.kind.as_str()).unwrap_or_default();
        if selectors.iter().any(|selector| selector.kind != name) {
            return Err(Refusal::SeveralTypes);
        }
        let store = self.named(name).ok_or_else(|| Refusal::NotFound(name.to_owned()))?;
        let values: Vec<String> = selectors.iter().map(|selector| selector.value.clone()).collect();
        let place = store.place(&values).map_err(Refusal::Selectors)?;
        Ok((Slot { store: name.to_owned(), place }, values))
    }

    /// Whether an SVID of this entry would be stored, were it the only one.
    pub fn takes(&self, entry: &Entry) -> bool {
        entry.store_svid && self.slot_of(entry).is_ok()
    }

    /// Of the storable entries in the cache. Where two want one place the older entry has it.
    pub fn claims(&self, cache: &Cache) -> Claims {
        let mut states: Vec<_> = cache.entries().into_iter().filter(|state| state.entry.store_svid).collect();
        states.sort_by(|a, b| age(&a.entry).cmp(&age(&b.entry)));
        let bundles: BTreeMap<TrustDomain, Arc<Bundle>> =
            cache.bundles().into_iter().map(|bundle| (bundle.trust_domain.clone(), bundle)).collect();
        let mut claims = Claims::default();
        for state in states {
            let entry = state.entry;
            let claimed = self.slot_of(&entry).and_then(|(slot, values)| match claims.slots.get(&slot) {
                Some(held) => Err(Refusal::Taken { holder: held.entry.id.clone(), slot }),
                None if claims.slots.len() >= STORED_MAX => Err(Refusal::TooMany),
                None => Ok((slot, values)),
            });
            match claimed {
                Err(refusal) => claims.refused.push((entry, refusal)),
                Ok((slot, values)) => {
                    let own = bundles.get(cache.trust_domain());
                    let content = state.svid.zip(own).map(|(svid, bundle)| Content {
                        svid,
                        bundle: Arc::clone(bundle),
                        federated: federated(&entry, &bundles, cache.trust_domain()),
                    });
                    claims.slots.insert(slot, Claim { entry, values, content });
                }
            }
        }
        claims
    }
}

/// The oldest first.
pub fn age(entry: &Entry) -> (i64, &str) {
    (entry.created_at, &entry.id)
}

fn federated(
    entry: &Entry,
    bundles: &BTreeMap<TrustDomain, Arc<Bundle>>,
    own: &TrustDomain,
) -> BTreeMap<TrustDomain, Arc<Bundle>> {
    let others = entry.federates_with.iter().filter(|domain| *domain != own);
    others.filter_map(|domain| Some((domain.clone(), Arc::clone(bundles.get(domain)?)))).collect()
}

impl PartialEq for Content {
    /// What changed was replaced.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.svid, &other.svid)
            && Arc::ptr_eq(&self.bundle, &other.bundle)
            && are_same(&self.federated, &other.federated)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.store, self.place)
    }
}

/// Of one node; SVIDs in stores are held in memory beyond `x509_svid_cache_max_size`.
pub const STORED_MAX: usize = 10_000;
