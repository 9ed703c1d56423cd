//! Changes as they go over the wire: in pieces of bounded size, encoded.

use bytes::Bytes;
use prost::Message as _;
use steeple_api::convert::{bundle_to_wire, entry_to_wire};
use steeple_api::push::{AgentSet, Held, difference, entry_mask};
use steeple_api::steeple::agent::Change;
use steeple_api::steeple::agent::from_server::Kind;

use super::codec::encoded;
use super::visible::Visible;

/// A piece is closed when it has grown to this. One item more still fits into gRPC's 4 MiB: entries have a few
/// kilobytes, and the state bounds bundles.
const PIECE_BYTES: usize = 256 * 1024;
/// Of an entry or a bundle, its key and its length.
const ITEM_BYTES: usize = 8;

/// From what the agent holds, which stands for `from_index`, to what it may see.
pub fn between(from: &impl AgentSet, from_index: u64, to: &Visible) -> Vec<Bytes> {
    pieces(from, Change { from_index, ..Change::default() }, to)
}

/// To what the agent may see, whatever it holds.
pub fn whole(to: &Visible) -> Vec<Bytes> {
    pieces(&Held::default(), Change { replace: true, ..Change::default() }, to)
}

/// Tells the agent that it holds what it may see.
pub fn none(at: &Visible) -> Bytes {
    let index = at.index();
    encoded(Kind::Change(Change {
        from_index: index,
        log_index: index,
        set_hash: at.hash.to_vec(),
        ..Change::default()
    }))
}

fn pieces(from: &impl AgentSet, blank: Change, to: &Visible) -> Vec<Bytes> {
    let difference = difference(from, to);
    let blank = Change { log_index: to.index(), more: true, ..blank };
    let mut pieces = Pieces { done: Vec::new(), open: blank.clone(), open_bytes: 0, blank };
    for trust_domain in &difference.bundles {
        if let Some(bundle) = to.bundle(trust_domain) {
            let wire = bundle_to_wire(bundle, None);
            pieces.room_for(wire.encoded_len());
            pieces.open.bundles.push(wire);
        }
    }
    for trust_domain in difference.removed_trust_domains {
        pieces.room_for(trust_domain.name().len());
        pieces.open.removed_trust_domains.push(trust_domain.name().to_owned());
    }
    for id in difference.removed_entry_ids {
        pieces.room_for(id.len());
        pieces.open.removed_entry_ids.push(id);
    }
    let mask = entry_mask();
    for id in &difference.entries {
        if let Some(entry) = to.entry(id) {
            let wire = entry_to_wire(entry, Some(&mask));
            pieces.room_for(wire.encoded_len());
            pieces.open.entries.push(wire);
        }
    }
    let last = Change { more: false, set_hash: to.hash.to_vec(), ..pieces.open };
    pieces.done.push(encoded(Kind::Change(last)));
    pieces.done
}

struct Pieces {
    done: Vec<Bytes>,
    open: Change,
    open_bytes: usize,
    blank: Change,
}

impl Pieces {
    fn room_for(&mut self, item_bytes: usize) {
        if self.open_bytes > 0 && self.open_bytes + item_bytes > PIECE_BYTES {
            let full = std::mem::replace(&mut self.open, self.blank.clone());
            self.done.push(encoded(Kind::Change(full)));
            self.open_bytes = 0;
        }
        self.open_bytes += item_bytes + ITEM_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use steeple_api::convert::bundle_from_wire;
    use steeple_api::push::{EntryVersion, Piece, bundle_digest, set_hash};
    use steeple_api::steeple::agent::FromServer;
    use steeple_core::{Bundle, Entry, Selector, SpiffeId, TrustDomain};

    use super::*;
    use crate::service::push::visible::Drawn;

    fn domain(number: u8) -> TrustDomain {
        TrustDomain::from_name(&format!("td-{number}.test")).unwrap()
    }

    fn entry(number: u8, revision: i64, hint: usize) -> Entry {
        let id = |path: &str| SpiffeId::parse(&format!("spiffe://example.org{path}")).unwrap();
        Entry {
            id: format!("e{number}"),
            spiffe_id: id(&format!("/w/{number}")),
            parent_id: id("/spire/agent/a"),
            selectors: [Selector::new("unix", format!("uid:{number}")).unwrap()].into_iter().collect(),
            x509_svid_ttl: 0,
            jwt_svid_ttl: 0,
            federates_with: Vec::new(),
            admin: false,
            downstream: false,
            expires_at: 0,
            dns_names: Vec::new(),
            revision,
            store_svid: false,
            hint: "h".repeat(hint),
            created_at: 1,
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: false,
        }
    }

    fn visible(entries: &BTreeMap<u8, (i64, usize)>, bundles: &BTreeMap<u8, u64>) -> Visible {
        let entries = entries.iter().map(|(number, (revision, hint))| entry(*number, *revision, *hint).into());
        let bundle = |(number, sequence): (&u8, &u64)| Bundle { sequence: *sequence, ..Bundle::empty(domain(*number)) };
        Drawn::of(7, entries.collect(), bundles.iter().map(bundle).map(Into::into).collect()).finish()
    }

    /// What an agent holds that held `held`.
    fn after(mut held: Held, pieces: &[Bytes]) -> Held {
        for (position, piece) in pieces.iter().enumerate() {
            assert!(piece.len() <= 2 * PIECE_BYTES, "{} bytes", piece.len());
            let Some(Kind::Change(change)) = FromServer::decode(piece.clone()).unwrap().kind else {
                panic!("no change")
            };
            if position == 0 && change.replace {
                held = Held::default();
            }
            let version = |entry: &steeple_api::types::Entry| EntryVersion {
                revision: entry.revision_number,
                created_at: entry.created_at,
            };
            let bundles = change.bundles.iter().map(|wire| bundle_from_wire(wire, None).unwrap());
            held.change(Piece {
                entries: change.entries.iter().map(|entry| (entry.id.clone(), version(entry))).collect(),
                removed_entry_ids: change.removed_entry_ids,
                bundles: bundles.map(|bundle| (bundle.trust_domain.clone(), bundle_digest(&bundle))).collect(),
                removed_trust_domains: change
                    .removed_trust_domains
                    .iter()
                    .map(|name| TrustDomain::from_name(name).unwrap())
                    .collect(),
            });
            assert_eq!(change.more, position + 1 < pieces.len());
            if !change.more {
                assert_eq!(change.set_hash, set_hash(&held));
            }
        }
        held
    }

    fn held(visible: &Visible) -> Held {
        Held {
            entries: visible.entries().map(|(id, version)| (id.to_owned(), version)).collect(),
            bundles: visible.bundles().map(|(name, digest)| (name.clone(), digest)).collect(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Through any sets, in pieces of bounded size, an agent ends with exactly what it may see, and knows it.
        #[test]
        fn an_agent_that_applies_every_change_holds_what_it_may_see(
            sets in prop::collection::vec((
                prop::collection::btree_map(0_u8..20, (0_i64..3, 0_usize..60_000), 0..20),
                prop::collection::btree_map(0_u8..4, 0_u64..3, 0..4),
            ), 1..6),
        ) {
            let sets: Vec<Visible> = sets.iter().map(|(entries, bundles)| visible(entries, bundles)).collect();
            let mut agent = after(Held::default(), &whole(&sets[0]));
            for pair in sets.windows(2) {
                prop_assert_eq!(&agent, &held(&pair[0]));
                prop_assert_eq!(pair[0].hash, set_hash(&agent));
                let shared = pair[1].change_from(&pair[0]);
                let private = between(&agent, 0, &pair[1]);
                prop_assert_eq!(after(agent.clone(), &private), after(agent.clone(), &shared));
                agent = after(agent, &shared);
            }
            prop_assert_eq!(&agent, &held(sets.last().unwrap()));
            prop_assert_eq!(after(agent.clone(), &[none(sets.last().unwrap())]), agent);
        }
    }

    #[test]
    fn a_change_between_two_sets_is_encoded_once() {
        let from = visible(&BTreeMap::new(), &BTreeMap::new());
        let to = visible(&BTreeMap::from([(1, (0, 1))]), &BTreeMap::new());
        assert_eq!(to.change_from(&from)[0].as_ptr(), to.change_from(&from)[0].as_ptr());
    }
}
