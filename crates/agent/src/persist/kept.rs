//! What is in the file, as protobuf. Field numbers are stored: none may get another meaning.

use std::fmt;

use prost::Message as _;
use steeple_api::convert::{bundle_from_wire, bundle_to_wire, entry_to_wire};
use steeple_api::push::entry_mask;
use steeple_api::types;
use steeple_core::{Bundle, Entry, Secret, SpiffeId, Timestamp};
use zeroize::Zeroize as _;

use crate::cache::{Cache, RotationRule, X509Svid};
use crate::sync::{parse_entry, random_fraction};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Kept {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<types::Entry>,
    #[prost(message, repeated, tag = "2")]
    bundles: Vec<types::Bundle>,
    #[prost(message, repeated, tag = "3")]
    svids: Vec<KeptSvid>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct KeptSvid {
    #[prost(string, tag = "1")]
    entry_id: String,
    #[prost(string, tag = "2")]
    spiffe_id: String,
    /// DER, leaf first.
    #[prost(bytes, repeated, tag = "3")]
    chain: Vec<Vec<u8>>,
    /// PKCS#8 DER.
    #[prost(bytes, tag = "4")]
    key: Vec<u8>,
    #[prost(int64, tag = "5")]
    issued_at_ms: i64,
    #[prost(int64, tag = "6")]
    not_after_ms: i64,
    #[prost(int64, tag = "7")]
    revision: i64,
    #[prost(int64, tag = "8")]
    created_at: i64,
}

impl Kept {
    pub(super) fn of(cache: &Cache) -> Self {
        let states = cache.entries();
        let svids = states.iter().filter_map(|state| {
            let svid = state.svid.as_ref()?;
            Some(KeptSvid {
                entry_id: state.entry.id.clone(),
                spiffe_id: svid.spiffe_id.to_string(),
                chain: svid.chain.clone(),
                key: svid.key.expose().to_vec(),
                issued_at_ms: svid.issued_at.as_ms(),
                not_after_ms: svid.not_after.as_ms(),
                revision: svid.revision,
                created_at: svid.created_at,
            })
        });
        Self {
            svids: svids.collect(),
            // What servers send, no more: the entry that comes back is the one that they send again.
            entries: states.iter().map(|state| entry_to_wire(&state.entry, Some(&entry_mask()))).collect(),
            bundles: cache.bundles().iter().map(|bundle| bundle_to_wire(bundle, None)).collect(),
        }
    }

    pub(super) fn to_bytes(&self) -> Secret {
        Secret::new(self.encode_to_vec())
    }

    pub(super) fn parse(bytes: &Secret) -> Option<Self> {
        Self::decode(bytes.expose()).ok()
    }

    /// Puts everything in its place, except SVIDs that have expired. How many there are then, or `None` without the own
    /// bundle, by which alone an SVID is of any use; the cache is as it was then.
    pub(super) fn restore(mut self, cache: &Cache, rotation: RotationRule, now: Timestamp) -> Option<usize> {
        let bundles: Vec<Bundle> = self.bundles.iter().filter_map(|wire| bundle_from_wire(wire, None).ok()).collect();
        if !bundles.iter().any(|bundle| bundle.trust_domain == *cache.trust_domain()) {
            return None;
        }
        let entries: Vec<Entry> =
            self.entries.iter().filter_map(|wire| parse_entry(cache.trust_domain(), wire)).collect();
        cache.set_bundles(bundles);
        cache.set_entries(entries);
        for mut kept in std::mem::take(&mut self.svids) {
            let not_after = Timestamp::from_ms(kept.not_after_ms);
            let Ok(spiffe_id) = SpiffeId::parse(&kept.spiffe_id) else { continue };
            if not_after <= now {
                continue;
            }
            let issued_at = Timestamp::from_ms(kept.issued_at_ms);
            let svid = X509Svid {
                spiffe_id,
                chain: std::mem::take(&mut kept.chain),
                key: Secret::new(std::mem::take(&mut kept.key)),
                issued_at,
                not_after,
                rotate_at: rotation.rotate_at(issued_at, not_after, random_fraction()),
                revision: kept.revision,
                created_at: kept.created_at,
            };
            cache.put_svid(&kept.entry_id, svid);
        }
        Some(cache.svid_count())
    }
}

impl Drop for KeptSvid {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for KeptSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptSvid({} of entry {})", self.spiffe_id, self.entry_id)
    }
}
