//! The way from one set to another.

use std::cmp::Ordering;

use steeple_core::TrustDomain;

use super::AgentSet;

/// What has to be sent for one set to become another. Every list is in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Ids of entries that are new or changed.
    pub entries: Vec<String>,
    pub removed_entry_ids: Vec<String>,
    /// Whose bundles are new or changed.
    pub bundles: Vec<TrustDomain>,
    pub removed_trust_domains: Vec<TrustDomain>,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub fn difference(from: &impl AgentSet, to: &impl AgentSet) -> Difference {
    let (entries, removed_entry_ids) = compare(from.entries(), to.entries());
    let (bundles, removed_trust_domains) = compare(from.bundles(), to.bundles());
    let texts = |ids: Vec<&str>| ids.into_iter().map(str::to_owned).collect();
    Difference {
        entries: texts(entries),
        removed_entry_ids: texts(removed_entry_ids),
        bundles: bundles.into_iter().cloned().collect(),
        removed_trust_domains: removed_trust_domains.into_iter().cloned().collect(),
    }
}

/// Keys with a value that `from` does not have, and keys that `to` lacks. Both are sorted.
fn compare<K: Ord, V: PartialEq>(
    from: impl Iterator<Item = (K, V)>,
    to: impl Iterator<Item = (K, V)>,
) -> (Vec<K>, Vec<K>) {
    let (mut from, mut to) = (from.peekable(), to.peekable());
    let (mut changed, mut gone) = (Vec::new(), Vec::new());
    loop {
        let order = match (from.peek(), to.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return (changed, gone),
        };
        let old = if order.is_le() { from.next() } else { None };
        let new = if order.is_ge() { to.next() } else { None };
        match (old, new) {
            (Some((_, old)), Some((key, new))) if old != new => changed.push(key),
            (None, Some((key, _))) => changed.push(key),
            (Some((key, _)), None) => gone.push(key),
            _ => {}
        }
    }
}
