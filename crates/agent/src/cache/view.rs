//! What one workload may see, as a value.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use steeple_core::{Bundle, Entry, SpiffeId, TrustDomain};

use super::X509Svid;

/// An identity that a workload may have now.
#[derive(Clone, Debug)]
pub struct WorkloadIdentity {
    pub entry: Arc<Entry>,
    pub svid: Arc<X509Svid>,
}

#[derive(Clone, Debug)]
pub struct WorkloadView {
    /// By entry id.
    pub identities: Vec<WorkloadIdentity>,
    /// Of the own trust domain; none before the first sync.
    pub bundle: Option<Arc<Bundle>>,
    /// Those that the identities federate with, as far as the server has them.
    pub federated: BTreeMap<TrustDomain, Arc<Bundle>>,
    /// Matching entries without an SVID yet. The workload does not see them, so their number is not compared.
    pub awaited: usize,
}

/// Whether a stream's first message can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// No entry matches: there is no identity to wait for.
    NoIdentity,
    /// Some matching entry has no SVID yet.
    Waiting,
    Ready,
}

impl WorkloadView {
    pub fn readiness(&self) -> Readiness {
        match (self.awaited, self.identities.is_empty()) {
            (0, true) => Readiness::NoIdentity,
            (0, false) => Readiness::Ready,
            _ => Readiness::Waiting,
        }
    }

    /// The own bundle, then those of the others.
    pub fn bundles(&self) -> impl Iterator<Item = &Bundle> {
        self.bundle.iter().chain(self.federated.values()).map(AsRef::as_ref)
    }
}

impl PartialEq for WorkloadView {
    /// Pointer equality is enough: what changed was replaced.
    fn eq(&self, other: &Self) -> bool {
        let refused = |view: &Self| view.readiness() == Readiness::NoIdentity;
        let same_bundle = match (&self.bundle, &other.bundle) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        same_bundle
            && refused(self) == refused(other)
            && self.identities.len() == other.identities.len()
            && self
                .identities
                .iter()
                .zip(&other.identities)
                .all(|(a, b)| Arc::ptr_eq(&a.svid, &b.svid) && a.entry.id == b.entry.id && a.entry.hint == b.entry.hint)
            && are_same(&self.federated, &other.federated)
    }
}

/// Whether both hold the same bundles: what changed was replaced.
pub fn are_same(a: &BTreeMap<TrustDomain, Arc<Bundle>>, b: &BTreeMap<TrustDomain, Arc<Bundle>>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((a, left), (b, right))| a == b && Arc::ptr_eq(left, right))
}

/// Among entries with one non-empty hint the oldest is kept, the smaller id on a tie (SPIFFE Workload API, section 5.2;
/// SPIRE behaviour).
pub fn without_duplicate_hints(entries: Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
    let mut keepers: HashMap<&str, &Arc<Entry>> = HashMap::new();
    for entry in entries.iter().filter(|entry| !entry.hint.is_empty()) {
        keepers
            .entry(entry.hint.as_str())
            .and_modify(|kept| {
                if (entry.created_at, &entry.id) < (kept.created_at, &kept.id) {
                    *kept = entry;
                }
            })
            .or_insert(entry);
    }
    let kept = |entry: &Arc<Entry>| {
        let keeps = entry.hint.is_empty() || keepers.get(entry.hint.as_str()).is_some_and(|kept| kept.id == entry.id);
        if !keeps {
            tracing::warn!(hint = %entry.hint, entry_id = %entry.id, "Ignoring entry with duplicate hint");
        }
        keeps
    };
    entries.iter().filter(|entry| kept(entry)).cloned().collect()
}

/// The entries with one SPIFFE ID, or all. Hints first: an entry that its elder's hint hides is not had by its SPIFFE
/// ID either (SPIRE behaviour).
pub fn of_spiffe_id(entries: Vec<Arc<Entry>>, id: Option<&SpiffeId>) -> Vec<Arc<Entry>> {
    let mut entries = without_duplicate_hints(entries);
    entries.retain(|entry| id.is_none_or(|id| entry.spiffe_id == *id));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::tests::entry;

    #[test]
    fn the_oldest_of_a_hint_is_kept() {
        let with =
            |id: &str, hint: &str, created_at| Arc::new(Entry { hint: hint.into(), created_at, ..entry(id, &["a"]) });
        let entries = vec![with("1", "x", 5), with("2", "x", 4), with("3", "x", 4), with("4", "", 1), with("5", "", 1)];
        let kept: Vec<String> = without_duplicate_hints(entries).iter().map(|entry| entry.id.clone()).collect();
        assert_eq!(kept, ["2", "4", "5"]);
    }

    #[test]
    fn what_a_hint_hides_is_not_had_by_its_spiffe_id() {
        let with = |id: &str, created_at| Arc::new(Entry { hint: "x".into(), created_at, ..entry(id, &["a"]) });
        let (old, young) = (with("old", 1), with("young", 2));
        let of = |id| -> Vec<String> {
            of_spiffe_id(vec![young.clone(), old.clone()], id).iter().map(|entry| entry.id.clone()).collect()
        };
        assert_eq!(of(Some(&old.spiffe_id)), ["old"]);
        assert_eq!(of(Some(&young.spiffe_id)), [""; 0]);
        assert_eq!(of(None), ["old"]);
    }
}
