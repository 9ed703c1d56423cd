//! What an agent says that it holds, gathered from its pieces.

use steeple_api::push::{EntryVersion, HASH_BYTES, Held};
use steeple_api::steeple::agent as wire;
use steeple_core::TrustDomain;

/// References that an agent may hold beyond what it may see: what it saw before.
const SURPLUS_MAX: usize = 10_000;

/// A description that is still coming.
#[derive(Debug, Default)]
pub struct Description {
    held: Held,
    /// It is too long, or says what cannot be: the agent gets everything anew.
    useless: bool,
}

impl Description {
    /// The whole of it with the last piece: what the agent holds, or `None` if that is not worth comparing.
    /// `visible` is how much the agent may see.
    pub fn add(&mut self, piece: wire::Held, visible: usize) -> Option<Option<Held>> {
        let most = visible.saturating_mul(2).saturating_add(SURPLUS_MAX);
        let bundles = piece.bundles.iter().map(|bundle| {
            let digest: [u8; HASH_BYTES] = bundle.digest.as_slice().try_into().ok()?;
            Some((TrustDomain::from_name(&bundle.trust_domain).ok()?, digest))
        });
        match bundles.collect::<Option<Vec<_>>>() {
            Some(bundles) if !self.useless && self.held.len() + bundles.len() + piece.entries.len() <= most => {
                self.held.bundles.extend(bundles);
                self.held.entries.extend(
                    piece.entries.into_iter().map(|entry| {
                        (entry.id, EntryVersion { revision: entry.revision, created_at: entry.created_at })
                    }),
                );
            }
            _ => *self = Self { held: Held::default(), useless: true },
        }
        if piece.more {
            return None;
        }
        let Self { held, useless } = std::mem::take(self);
        Some((!useless).then_some(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(ids: std::ops::Range<usize>, more: bool) -> wire::Held {
        let entry = |number: usize| wire::held::EntryRef { id: number.to_string(), revision: 1, created_at: 2 };
        wire::Held { entries: ids.map(entry).collect(), bundles: Vec::new(), more }
    }

    #[test]
    fn pieces_make_a_whole() {
        let mut description = Description::default();
        assert_eq!(description.add(piece(0..2, true), 3), None);
        let held = description.add(piece(2..3, false), 3).unwrap().unwrap();
        assert_eq!(held.len(), 3);
        assert_eq!(held.entries["2"], EntryVersion { revision: 1, created_at: 2 });
    }

    #[test]
    fn what_is_endless_or_malformed_is_not_kept() {
        let mut description = Description::default();
        for number in 0..SURPLUS_MAX {
            assert_eq!(description.add(piece(number * 10..(number + 1) * 10, true), 10), None);
            assert!(description.held.len() <= SURPLUS_MAX + 20);
        }
        assert_eq!(description.add(piece(0..1, false), 10), Some(None));

        let bundle = wire::held::BundleRef { trust_domain: "td.test".into(), digest: vec![1] };
        let malformed = wire::Held { bundles: vec![bundle], ..wire::Held::default() };
        assert_eq!(description.add(malformed, 10), Some(None));
        assert!(description.add(piece(0..1, false), 10).unwrap().is_some(), "the next one is a new one");
    }
}
