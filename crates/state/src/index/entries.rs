//! Entries by record number, with indexes by id, parent, SPIFFE ID, federated trust domain, expiry and, for node
//! aliases, selector. The number is the order of creation, small enough to be every index's reference.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use steeple_core::{Entry, Selector, SelectorSet, SpiffeId, TrustDomain};

use super::NumberSet;
use crate::view::is_node_alias;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EntryIndex {
    by_number: BTreeMap<u64, Arc<Entry>>,
    by_id: BTreeMap<String, u64>,
    by_parent: BTreeMap<SpiffeId, NumberSet>,
    by_spiffe_id: BTreeMap<SpiffeId, NumberSet>,
    by_federates_with: BTreeMap<TrustDomain, NumberSet>,
    /// Only entries that expire.
    by_expiry: BTreeSet<(i64, u64)>,
    /// Only node aliases, under their first selector: a match needs them all, so one is enough to find it.
    aliases_by_selector: BTreeMap<Selector, NumberSet>,
}

impl EntryIndex {
    /// The caller removes any entry under the same number or id first. Entries below one parent share its text: they
    /// are many, and the ID is long.
    pub(crate) fn insert(&mut self, number: u64, mut entry: Entry) -> Arc<Entry> {
        if let Some((parent_id, _)) = self.by_parent.get_key_value(&entry.parent_id) {
            entry.parent_id = parent_id.clone();
        }
        let entry = Arc::new(entry);
        self.by_id.insert(entry.id.clone(), number);
        self.by_parent.entry(entry.parent_id.clone()).or_default().insert(number);
        self.by_spiffe_id.entry(entry.spiffe_id.clone()).or_default().insert(number);
        for trust_domain in &entry.federates_with {
            self.by_federates_with.entry(trust_domain.clone()).or_default().insert(number);
        }
        if entry.expires_at != 0 {
            self.by_expiry.insert((entry.expires_at, number));
        }
        if let Some(selector) = alias_selector(&entry) {
            self.aliases_by_selector.entry(selector.clone()).or_default().insert(number);
        }
        self.by_number.insert(number, entry.clone());
        entry
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Arc<Entry>> {
        let entry = self.by_number.remove(&number)?;
        self.by_id.remove(&entry.id);
        remove_from(&mut self.by_parent, &entry.parent_id, number);
        remove_from(&mut self.by_spiffe_id, &entry.spiffe_id, number);
        for trust_domain in &entry.federates_with {
            remove_from(&mut self.by_federates_with, trust_domain, number);
        }
        self.by_expiry.remove(&(entry.expires_at, number));
        if let Some(selector) = alias_selector(&entry) {
            remove_from(&mut self.aliases_by_selector, selector, number);
        }
        Some(entry)
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Arc<Entry>> {
        self.by_number.get(&number)
    }

    pub(crate) fn number_of(&self, id: &str) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Arc<Entry>> {
        self.get(self.number_of(id)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// In the order of creation, from above `cursor`.
    pub(crate) fn after(&self, cursor: u64) -> impl Iterator<Item = (u64, &Arc<Entry>)> {
        // A cursor of u64::MAX has nothing above it; the range would be inverted otherwise.
        let from = cursor.checked_add(1);
        from.into_iter().flat_map(|from| self.by_number.range(from..)).map(|(number, entry)| (*number, entry))
    }

    pub(crate) fn children(&self, parent: &SpiffeId) -> Option<&NumberSet> {
        self.by_parent.get(parent)
    }

    pub(crate) fn holders(&self, spiffe_id: &SpiffeId) -> Option<&NumberSet> {
        self.by_spiffe_id.get(spiffe_id)
    }

    pub(crate) fn federating_with(&self, trust_domain: &TrustDomain) -> &[u64] {
        self.by_federates_with.get(trust_domain).map_or(&[], NumberSet::as_slice)
    }

    /// Entries that expired before `before` (Unix seconds), the longest expired first.
    pub(crate) fn expired(&self, before: i64) -> impl Iterator<Item = u64> {
        self.by_expiry.range(..(before, 0)).map(|(_, number)| *number)
    }

    /// The aliases whose selectors all lie within `selectors`.
    pub(crate) fn aliases_of<'a>(&'a self, selectors: &'a SelectorSet) -> impl Iterator<Item = &'a Arc<Entry>> {
        selectors
            .iter()
            .filter_map(|selector| self.aliases_by_selector.get(selector))
            .flat_map(|numbers| numbers.as_slice())
            .filter_map(|number| self.get(*number))
            .filter(|alias| alias.selectors.is_subset(selectors))
    }

    /// The oldest entry with this parent, SPIFFE ID and exact selector set (SPIRE's "similar entry").
    pub(crate) fn similar(&self, to: &Entry) -> Option<&Arc<Entry>> {
        let candidates = self.holders(&to.spiffe_id)?;
        candidates
            .as_slice()
            .iter()
            .filter_map(|number| self.get(*number))
            .find(|entry| entry.parent_id == to.parent_id && entry.selectors == to.selectors)
    }
}

fn alias_selector(entry: &Entry) -> Option<&Selector> {
    is_node_alias(entry).then(|| entry.selectors.as_slice().first()).flatten()
}

fn remove_from<K: Ord>(index: &mut BTreeMap<K, NumberSet>, key: &K, number: u64) {
    if let Some(numbers) = index.get_mut(key) {
        numbers.remove(number);
        if numbers.is_empty() {
            index.remove(key);
        }
    }
}
