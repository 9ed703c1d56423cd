//! A set as its references alone: what an agent knows of its own, and what a server is told of one.

use std::collections::BTreeMap;

use steeple_core::TrustDomain;

use super::{AgentSet, BundleDigest, EntryVersion};
use crate::steeple::agent as wire;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub entries: BTreeMap<String, EntryVersion>,
    pub bundles: BTreeMap<TrustDomain, BundleDigest>,
}

/// A part of a change, by reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    pub entries: Vec<(String, EntryVersion)>,
    pub removed_entry_ids: Vec<String>,
    pub bundles: Vec<(TrustDomain, BundleDigest)>,
    pub removed_trust_domains: Vec<TrustDomain>,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.bundles.is_empty()
    }

    /// How many references it has.
    pub fn len(&self) -> usize {
        self.entries.len() + self.bundles.len()
    }

    /// What an agent says when it is asked to describe its set, in pieces of some 300 kB; at least one.
    pub fn describe(&self) -> Vec<wire::Held> {
        let entries: Vec<wire::held::EntryRef> = self
            .entries()
            .map(|(id, version)| wire::held::EntryRef {
                id: id.to_owned(),
                revision: version.revision,
                created_at: version.created_at,
            })
            .collect();
        let more = |entries: &[wire::held::EntryRef]| wire::Held {
            entries: entries.to_vec(),
            bundles: Vec::new(),
            more: true,
        };
        let mut pieces: Vec<wire::Held> = entries.chunks(PIECE_ENTRIES).map(more).collect();
        let bundles = self.bundles().map(|(trust_domain, digest)| wire::held::BundleRef {
            trust_domain: trust_domain.name().to_owned(),
            digest: digest.to_vec(),
        });
        pieces.push(wire::Held { bundles: bundles.collect(), ..Default::default() });
        pieces
    }

    pub fn change(&mut self, piece: Piece) {
        for id in &piece.removed_entry_ids {
            self.entries.remove(id);
        }
        for trust_domain in &piece.removed_trust_domains {
            self.bundles.remove(trust_domain);
        }
        self.entries.extend(piece.entries);
        self.bundles.extend(piece.bundles);
    }
}

impl AgentSet for Held {
    fn entries(&self) -> impl Iterator<Item = (&str, EntryVersion)> {
        self.entries.iter().map(|(id, version)| (id.as_str(), *version))
    }

    fn bundles(&self) -> impl Iterator<Item = (&TrustDomain, BundleDigest)> {
        self.bundles.iter().map(|(trust_domain, digest)| (trust_domain, *digest))
    }
}

/// Of one piece.
const PIECE_ENTRIES: usize = 5_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use steeple_core::{Bundle, JwtAuthority, X509Authority};

    use super::*;
    use crate::push::{bundle_digest, difference, set_hash};

    fn domain(number: u8) -> TrustDomain {
        TrustDomain::from_name(&format!("td-{number}.test")).unwrap()
    }

    fn held() -> impl Strategy<Value = Held> {
        let entries = prop::collection::btree_map(0_u8..12, (0_i64..3, 0_i64..3), 0..12);
        let bundles = prop::collection::btree_map(0_u8..5, 0_u8..3, 0..5);
        (entries, bundles).prop_map(|(entries, bundles)| Held {
            entries: entries
                .into_iter()
                .map(|(id, (revision, created_at))| (format!("e{id}"), EntryVersion { revision, created_at }))
                .collect(),
            bundles: bundles.into_iter().map(|(number, fill)| (domain(number), [fill; 32])).collect(),
        })
    }

    /// What the server would send of `to`.
    fn piece(from: &Held, to: &Held) -> Piece {
        let difference = difference(from, to);
        Piece {
            entries: difference.entries.into_iter().map(|id| (id.clone(), to.entries[&id])).collect(),
            removed_entry_ids: difference.removed_entry_ids,
            bundles: difference.bundles.into_iter().map(|name| (name.clone(), to.bundles[&name])).collect(),
            removed_trust_domains: difference.removed_trust_domains,
        }
    }

    proptest! {
        /// Whatever sets follow each other, an agent that applies the differences holds the last one, and knows it.
        #[test]
        fn differences_lead_from_set_to_set(sets in prop::collection::vec(held(), 1..8)) {
            let mut agent = Held::default();
            for set in &sets {
                let piece = piece(&agent, set);
                for (id, version) in &piece.entries {
                    prop_assert_ne!(agent.entries.get(id), Some(version), "sent although it is held");
                }
                agent.change(piece);
                prop_assert_eq!(&agent, set);
                prop_assert_eq!(set_hash(&agent), set_hash(set));
                prop_assert!(difference(&agent, set).is_empty());
            }
        }

        #[test]
        fn different_sets_have_different_hashes(one in held(), other in held()) {
            prop_assert_eq!(one == other, set_hash(&one) == set_hash(&other));
        }
    }

    #[test]
    fn every_field_of_a_bundle_counts() {
        let root = X509Authority { der: vec![1, 2], tainted: false };
        let key = JwtAuthority { public_key: vec![3], key_id: "k".into(), expires_at: 9, tainted: false };
        let bundle = Bundle {
            x509_authorities: vec![root.clone()],
            jwt_authorities: vec![key.clone()],
            refresh_hint: 5,
            sequence: 7,
            ..Bundle::empty(domain(0))
        };
        let others = [
            Bundle { trust_domain: domain(1), ..bundle.clone() },
            Bundle { sequence: 8, ..bundle.clone() },
            Bundle { refresh_hint: 6, ..bundle.clone() },
            Bundle { x509_authorities: vec![X509Authority { tainted: true, ..root.clone() }], ..bundle.clone() },
            Bundle { x509_authorities: vec![X509Authority { der: vec![1], ..root }], ..bundle.clone() },
            Bundle { jwt_authorities: vec![JwtAuthority { tainted: true, ..key.clone() }], ..bundle.clone() },
            Bundle { jwt_authorities: vec![JwtAuthority { expires_at: 8, ..key.clone() }], ..bundle.clone() },
            Bundle { jwt_authorities: vec![JwtAuthority { key_id: "l".into(), ..key.clone() }], ..bundle.clone() },
            Bundle { jwt_authorities: vec![JwtAuthority { public_key: vec![4], ..key }], ..bundle.clone() },
        ];
        for other in others {
            assert_ne!(bundle_digest(&bundle), bundle_digest(&other), "{other:?}");
        }
    }
}
