//! What one agent, or all agents with the same roots, may see at a log index.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use steeple_api::push::{AgentSet, BundleDigest, EntryVersion, SetHash, bundle_digest, set_hash};
use steeple_core::{Bundle, Entry, SpiffeId, TrustDomain};
use steeple_state::State;

use super::changes;

/// Shared by all sessions whose agents see it.
pub struct Visible {
    pub hash: SetHash,
    contents: Contents,
    /// The log index up to which this is known to be what its agents see.
    index: AtomicU64,
    /// From other sets to this one: a few are enough, for agents that see the same come from the same.
    ways: Mutex<Vec<(SetHash, Arc<[Bytes]>)>>,
}

/// Taken from the state under its lock; the costly rest comes after.
pub struct Drawn {
    index: u64,
    entries: Vec<Arc<Entry>>,
    bundles: Vec<Arc<Bundle>>,
}

struct Contents {
    /// By id.
    entries: Vec<Arc<Entry>>,
    /// By trust domain.
    bundles: Vec<(Arc<Bundle>, BundleDigest)>,
}

/// Changes to one set that are kept encoded.
const WAYS_MAX: usize = 4;

impl Drawn {
    pub fn from(state: &State, roots: &[SpiffeId]) -> Self {
        let entries = state.entries_below(roots);
        let federated: BTreeSet<&TrustDomain> = entries.iter().flat_map(|entry| &entry.federates_with).collect();
        let own = state.own_bundle();
        let others = federated.into_iter().filter(|domain| own.is_none_or(|own| own.trust_domain != **domain));
        let bundles = own.into_iter().chain(others.filter_map(|domain| state.bundle(domain))).cloned().collect();
        Self::of(state.applied_index(), entries, bundles)
    }

    pub fn of(index: u64, entries: Vec<Arc<Entry>>, bundles: Vec<Arc<Bundle>>) -> Self {
        Self { index, entries, bundles }
    }

    pub fn finish(mut self) -> Visible {
        self.entries.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.bundles.sort_unstable_by(|a, b| a.trust_domain.cmp(&b.trust_domain));
        let bundles = self.bundles.into_iter().map(|bundle| {
            let digest = bundle_digest(&bundle);
            (bundle, digest)
        });
        let contents = Contents { entries: self.entries, bundles: bundles.collect() };
        let hash = set_hash(&contents);
        Visible { hash, contents, index: AtomicU64::new(self.index), ways: Mutex::default() }
    }
}

impl Visible {
    pub fn index(&self) -> u64 {
        self.index.load(Ordering::Relaxed)
    }

    /// The state at `index` says the same.
    pub fn still_so_at(&self, index: u64) {
        self.index.fetch_max(index, Ordering::Relaxed);
    }

    pub fn len(&self) -> usize {
        self.contents.entries.len() + self.contents.bundles.len()
    }

    pub fn entry(&self, id: &str) -> Option<&Arc<Entry>> {
        let entries = &self.contents.entries;
        entries.binary_search_by(|entry| entry.id.as_str().cmp(id)).ok().map(|position| &entries[position])
    }

    pub fn bundle(&self, trust_domain: &TrustDomain) -> Option<&Arc<Bundle>> {
        let bundles = &self.contents.bundles;
        let found = bundles.binary_search_by(|(bundle, _)| bundle.trust_domain.cmp(trust_domain));
        found.ok().map(|position| &bundles[position].0)
    }

    /// The encoded change from `other` to this set.
    pub fn change_from(&self, other: &Self) -> Arc<[Bytes]> {
        let known = self.ways.lock().iter().find(|(from, _)| *from == other.hash).map(|(_, way)| Arc::clone(way));
        if let Some(known) = known {
            return known;
        }
        let way: Arc<[Bytes]> = changes::between(other, other.index(), self).into();
        let mut ways = self.ways.lock();
        if ways.len() < WAYS_MAX {
            ways.push((other.hash, Arc::clone(&way)));
        }
        way
    }
}

impl AgentSet for Contents {
    fn entries(&self) -> impl Iterator<Item = (&str, EntryVersion)> {
        self.entries.iter().map(|entry| {
            let version = EntryVersion { revision: entry.revision, created_at: entry.created_at };
            (entry.id.as_str(), version)
        })
    }

    fn bundles(&self) -> impl Iterator<Item = (&TrustDomain, BundleDigest)> {
        self.bundles.iter().map(|(bundle, digest)| (&bundle.trust_domain, *digest))
    }
}

impl AgentSet for Visible {
    fn entries(&self) -> impl Iterator<Item = (&str, EntryVersion)> {
        self.contents.entries()
    }

    fn bundles(&self) -> impl Iterator<Item = (&TrustDomain, BundleDigest)> {
        self.contents.bundles()
    }
}
