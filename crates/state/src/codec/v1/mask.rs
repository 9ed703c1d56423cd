//! Masks as bits; the place of a field in its list is its bit and never changes.

use super::super::DecodeError;
use crate::{BundleMask, EntryMask, RelationshipMask};

/// A mask whose fields stand in a fixed order.
pub(super) trait Bits: Default + 'static {
    const FIELDS: &'static [fn(&mut Self) -> &mut bool];
}

pub(super) fn to_bits<M: Bits + Copy>(mask: M) -> u32 {
    let mut mask = mask;
    let set = M::FIELDS.iter().enumerate().filter(|(_, field)| *field(&mut mask));
    set.fold(0, |bits, (place, _)| bits | 1 << place)
}

pub(super) fn from_bits<M: Bits>(bits: u32) -> Result<M, DecodeError> {
    if bits >> M::FIELDS.len() != 0 {
        return Err(DecodeError::UnknownContent);
    }
    let mut mask = M::default();
    for (place, field) in M::FIELDS.iter().enumerate() {
        *field(&mut mask) = bits >> place & 1 == 1;
    }
    Ok(mask)
}

impl Bits for EntryMask {
    const FIELDS: &'static [fn(&mut Self) -> &mut bool] = &[
        |mask| &mut mask.spiffe_id,
        |mask| &mut mask.parent_id,
        |mask| &mut mask.selectors,
        |mask| &mut mask.x509_svid_ttl,
        |mask| &mut mask.jwt_svid_ttl,
        |mask| &mut mask.federates_with,
        |mask| &mut mask.admin,
        |mask| &mut mask.downstream,
        |mask| &mut mask.expires_at,
        |mask| &mut mask.dns_names,
        |mask| &mut mask.store_svid,
        |mask| &mut mask.hint,
        |mask| &mut mask.additional_attributes,
    ];
}

impl Bits for BundleMask {
    const FIELDS: &'static [fn(&mut Self) -> &mut bool] = &[
        |mask| &mut mask.x509_authorities,
        |mask| &mut mask.jwt_authorities,
        |mask| &mut mask.refresh_hint,
        |mask| &mut mask.sequence,
    ];
}

impl Bits for RelationshipMask {
    const FIELDS: &'static [fn(&mut Self) -> &mut bool] = &[
        |mask| &mut mask.bundle_endpoint_url,
        |mask| &mut mask.bundle_endpoint_profile,
        |mask| &mut mask.trust_domain_bundle,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_own_bit() {
        assert_eq!(to_bits(EntryMask::ALL), (1 << 13) - 1);
        assert_eq!(to_bits(BundleMask::ALL), (1 << 4) - 1);
        assert_eq!(to_bits(RelationshipMask::ALL), (1 << 3) - 1);
        assert_eq!(from_bits::<EntryMask>((1 << 13) - 1), Ok(EntryMask::ALL));
        assert_eq!(from_bits::<BundleMask>(1 << 4), Err(DecodeError::UnknownContent));
    }
}
