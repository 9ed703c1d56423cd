//! Pieces of a change, put together and checked: what a server sent, as references and as what they stand for.

use std::collections::BTreeSet;

use steeple_api::push::{EntryVersion, Held, Piece, SetHash, bundle_digest, set_hash};
use steeple_api::steeple::agent::Change;
use steeple_core::TrustDomain;

use crate::sync::arrivals::Changed;
use crate::sync::fetch::{parse_bundle, parse_entry};

/// What the agent holds by its own account, and the change that is coming.
#[derive(Debug)]
pub struct Assembly {
    trust_domain: TrustDomain,
    held: Held,
    coming: Option<Coming>,
}

#[derive(Debug, Default)]
struct Coming {
    changed: Changed,
    held: Held,
    pieces: usize,
}

/// A change of which everything has come.
#[derive(Debug)]
pub struct Assembled {
    pub changed: Changed,
    pub log_index: u64,
    pub set_hash: SetHash,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssemblyError {
    /// The account of what is held stays as it was before the change.
    #[error("the set is not the one that the server means")]
    OtherSet,
    #[error("server sent a malformed bundle: {0}")]
    Bundle(String),
    #[error("the server names a trust domain that cannot be: {0:?}")]
    TrustDomain(String),
    #[error("a change has more than {PIECES_MAX} pieces")]
    Endless,
}

impl Assembly {
    pub fn new(trust_domain: TrustDomain, held: Held) -> Self {
        Self { trust_domain, held, coming: None }
    }

    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Something once the last piece of a change has come and the set is the one that it says.
    pub fn add(&mut self, piece: Change) -> Result<Option<Assembled>, AssemblyError> {
        let mut coming = self.coming.take().unwrap_or_else(|| Coming::of(&self.held, piece.replace));
        coming.pieces += 1;
        if coming.pieces > PIECES_MAX {
            return Err(AssemblyError::Endless);
        }
        let (more, log_index, meant) = (piece.more, piece.log_index, piece.set_hash.clone());
        coming.add(piece, &self.trust_domain)?;
        if more {
            self.coming = Some(coming);
            return Ok(None);
        }
        let set_hash = set_hash(&coming.held);
        if meant != set_hash {
            return Err(AssemblyError::OtherSet);
        }
        self.held = coming.held;
        Ok(Some(Assembled { changed: coming.changed, log_index, set_hash }))
    }
}

impl Coming {
    /// What a change that replaces everything does not name is to be removed.
    fn of(held: &Held, replace: bool) -> Self {
        if !replace {
            return Self { held: held.clone(), ..Self::default() };
        }
        let changed = Changed {
            removed_entry_ids: held.entries.keys().cloned().collect(),
            removed_trust_domains: held.bundles.keys().cloned().collect(),
            ..Changed::default()
        };
        Self { changed, ..Self::default() }
    }

    fn add(&mut self, piece: Change, own: &TrustDomain) -> Result<(), AssemblyError> {
        let domain = |name: &String| {
            TrustDomain::from_name(name).map_err(|_| AssemblyError::TrustDomain(name.chars().take(256).collect()))
        };
        let mut by_reference = Piece {
            removed_entry_ids: piece.removed_entry_ids.clone(),
            removed_trust_domains: piece.removed_trust_domains.iter().map(domain).collect::<Result<_, _>>()?,
            ..Piece::default()
        };
        self.changed.removed_entry_ids.extend(piece.removed_entry_ids);
        self.changed.removed_trust_domains.extend(by_reference.removed_trust_domains.iter().cloned());
        let replaced: BTreeSet<&str> = piece.entries.iter().map(|entry| entry.id.as_str()).collect();
        // An entry that comes is not one that goes, whatever a change that replaces everything began with.
        self.changed.removed_entry_ids.retain(|id| !replaced.contains(id.as_str()));
        for wire in &piece.entries {
            let version = EntryVersion { revision: wire.revision_number, created_at: wire.created_at };
            by_reference.entries.push((wire.id.clone(), version));
            match parse_entry(own, wire) {
                Some(entry) => self.changed.entries.push(entry),
                // It may have been usable before.
                None => self.changed.removed_entry_ids.push(wire.id.clone()),
            }
        }
        for wire in &piece.bundles {
            let bundle = parse_bundle(wire).map_err(|error| AssemblyError::Bundle(error.to_string()))?;
            by_reference.bundles.push((bundle.trust_domain.clone(), bundle_digest(&bundle)));
            self.changed.removed_trust_domains.remove(&bundle.trust_domain);
            self.changed.bundles.push(bundle);
        }
        self.held.change(by_reference);
        Ok(())
    }
}

/// Some 250 MB on the wire; an agent with so many entries has other troubles.
const PIECES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use steeple_api::convert::entry_to_wire;
    use steeple_api::types;
    use steeple_core::Bundle;

    use super::*;
    use crate::cache::tests::entry;

    fn own() -> TrustDomain {
        TrustDomain::parse("td").unwrap()
    }

    fn wire(id: &str) -> types::Entry {
        entry_to_wire(&entry(id, &["1"]), None)
    }

    /// With the hash of what `held` becomes by it.
    fn last(held: &Held, change: Change) -> Change {
        let mut coming = Coming::of(held, change.replace);
        coming.add(change.clone(), &own()).unwrap();
        Change { set_hash: set_hash(&coming.held).to_vec(), ..change }
    }

    fn ids(entries: &[steeple_core::Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.id.as_str()).collect()
    }

    fn assembled(assembly: &mut Assembly, change: Change) -> Changed {
        let change = last(assembly.held(), change);
        assembly.add(change).unwrap().expect("the last piece").changed
    }

    #[test]
    fn pieces_count_when_the_last_has_come() {
        let mut assembly = Assembly::new(own(), Held::default());
        let first = Change { replace: true, more: true, entries: vec![wire("a")], ..Change::default() };
        assert!(assembly.add(first.clone()).unwrap().is_none());
        assert!(assembly.held().is_empty());
        let both = Change { entries: vec![wire("a"), wire("b")], ..Change::default() };
        let set_hash = last(&Held::default(), both).set_hash;
        let second = Change { entries: vec![wire("b")], log_index: 9, set_hash, ..Change::default() };
        let whole = assembly.add(second).unwrap().unwrap();
        assert_eq!((ids(&whole.changed.entries), whole.log_index), (vec!["a", "b"], 9));
        assert_eq!(assembly.held().entries.len(), 2);
    }

    #[test]
    fn what_replaces_everything_removes_what_it_does_not_name() {
        let mut assembly = Assembly::new(own(), Held::default());
        assembled(&mut assembly, Change { entries: vec![wire("a"), wire("b")], ..Change::default() });
        let changed = assembled(
            &mut assembly,
            Change { replace: true, entries: vec![wire("b"), wire("c")], ..Change::default() },
        );
        assert_eq!((ids(&changed.entries), changed.removed_entry_ids), (vec!["b", "c"], vec!["a".to_owned()]));
    }

    #[test]
    fn an_entry_that_cannot_be_used_is_held_and_not_served() {
        let mut assembly = Assembly::new(own(), Held::default());
        let bad = types::Entry { selectors: Vec::new(), ..wire("bad") };
        let changed = assembled(&mut assembly, Change { entries: vec![bad, wire("good")], ..Change::default() });
        assert_eq!((ids(&changed.entries), changed.removed_entry_ids), (vec!["good"], vec!["bad".to_owned()]));
        assert_eq!(assembly.held().entries.len(), 2);
    }

    #[test]
    fn another_set_than_was_meant_changes_nothing() {
        let mut assembly = Assembly::new(own(), Held::default());
        assembled(&mut assembly, Change { entries: vec![wire("a")], ..Change::default() });
        let before = assembly.held().clone();
        let wrong = Change { entries: vec![wire("b")], set_hash: vec![0; 32], ..Change::default() };
        assert_eq!(assembly.add(wrong).unwrap_err(), AssemblyError::OtherSet);
        assert_eq!(*assembly.held(), before);
    }

    #[test]
    fn nonsense_is_an_error() {
        let refused = |change: Change| Assembly::new(own(), Held::default()).add(change).unwrap_err();
        let names = vec!["Not A Domain".to_owned()];
        let domain = refused(Change { removed_trust_domains: names, ..Change::default() });
        assert_eq!(domain, AssemblyError::TrustDomain("Not A Domain".to_owned()));
        let unnamed = types::Bundle { trust_domain: String::new(), ..types::Bundle::default() };
        assert!(matches!(refused(Change { bundles: vec![unnamed], ..Change::default() }), AssemblyError::Bundle(_)));
        let mut assembly = Assembly::new(own(), Held::default());
        let more = || Change { more: true, ..Change::default() };
        assert!((0..PIECES_MAX).all(|_| assembly.add(more()).unwrap().is_none()));
        assert_eq!(assembly.add(more()).unwrap_err(), AssemblyError::Endless);
    }

    #[test]
    fn bundles_go_and_come() {
        let mut assembly = Assembly::new(own(), Held::default());
        let bundle = steeple_api::convert::bundle_to_wire(&Bundle::empty(own()), None);
        let changed = assembled(&mut assembly, Change { bundles: vec![bundle], ..Change::default() });
        assert_eq!(changed.bundles, [Bundle::empty(own())]);
        let changed = assembled(&mut assembly, Change { replace: true, ..Change::default() });
        assert_eq!(changed.removed_trust_domains, BTreeSet::from([own()]));
    }
}
