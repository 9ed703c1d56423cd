//! Bundles. WIT keys are sent and not taken: only the own trust domain's are known (SPIRE behaviour).

use steeple_core::Bundle;

use super::{
    ConvertError, jwt_authority_from_wire, jwt_authority_to_wire, trust_domain_from_wire, wit_authority_to_wire,
    x509_authority_from_wire, x509_authority_to_wire,
};
use crate::types;

/// Reads the fields that `mask` names; others are empty.
pub fn bundle_from_wire(wire: &types::Bundle, mask: Option<&types::BundleMask>) -> Result<Bundle, ConvertError> {
    let given = |field: fn(&types::BundleMask) -> bool| mask.is_none_or(field);
    let trust_domain =
        trust_domain_from_wire(&wire.trust_domain).map_err(|error| error.within("invalid trust domain"))?;
    let mut bundle = Bundle::empty(trust_domain);
    if given(|mask| mask.x509_authorities) {
        let authorities = wire.x509_authorities.iter().map(x509_authority_from_wire).collect::<Result<_, _>>();
        bundle.x509_authorities = authorities.map_err(|error| error.within("unable to parse X.509 authority"))?;
    }
    if given(|mask| mask.jwt_authorities) {
        let authorities = wire.jwt_authorities.iter().map(jwt_authority_from_wire).collect::<Result<_, _>>();
        bundle.jwt_authorities = authorities.map_err(|error| error.within("unable to parse JWT authority"))?;
    }
    if given(|mask| mask.refresh_hint) {
        bundle.refresh_hint = wire.refresh_hint;
    }
    if given(|mask| mask.sequence_number) {
        bundle.sequence = wire.sequence_number;
    }
    Ok(bundle)
}

pub fn bundle_to_wire(bundle: &Bundle, mask: Option<&types::BundleMask>) -> types::Bundle {
    let wanted = |field: fn(&types::BundleMask) -> bool| mask.is_none_or(field);
    let trust_domain = bundle.trust_domain.name().to_owned();
    let mut wire = types::Bundle { trust_domain, ..types::Bundle::default() };
    if wanted(|mask| mask.x509_authorities) {
        wire.x509_authorities = bundle.x509_authorities.iter().map(x509_authority_to_wire).collect();
    }
    if wanted(|mask| mask.jwt_authorities) {
        wire.jwt_authorities = bundle.jwt_authorities.iter().map(jwt_authority_to_wire).collect();
    }
    if wanted(|mask| mask.wit_authorities) {
        wire.wit_authorities = bundle.wit_authorities.iter().map(wit_authority_to_wire).collect();
    }
    if wanted(|mask| mask.refresh_hint) {
        wire.refresh_hint = bundle.refresh_hint;
    }
    if wanted(|mask| mask.sequence_number) {
        wire.sequence_number = bundle.sequence;
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_spires() {
        let error = |wire| bundle_from_wire(&wire, None).unwrap_err().message;
        let named = || types::Bundle { trust_domain: "five.test".into(), ..types::Bundle::default() };
        assert_eq!(error(types::Bundle::default()), "invalid trust domain: trust domain is missing");
        let nonsense = types::X509Certificate { asn1: b"nonsense".to_vec(), tainted: false };
        assert_eq!(
            error(types::Bundle { x509_authorities: vec![nonsense], ..named() }),
            "unable to parse X.509 authority: x509: malformed certificate"
        );
        assert_eq!(
            error(types::Bundle { jwt_authorities: vec![types::JwtKey::default()], ..named() }),
            "unable to parse JWT authority: asn1: syntax error: malformed public key"
        );
    }

    #[test]
    fn only_what_the_mask_names_is_read() {
        let nonsense = types::X509Certificate { asn1: b"nonsense".to_vec(), tainted: false };
        let wire = types::Bundle {
            trust_domain: "spiffe://five.test".into(),
            x509_authorities: vec![nonsense],
            refresh_hint: 90,
            sequence_number: 7,
            ..types::Bundle::default()
        };
        let mask = types::BundleMask { refresh_hint: true, ..types::BundleMask::default() };
        let bundle = bundle_from_wire(&wire, Some(&mask)).unwrap();
        assert_eq!((bundle.trust_domain.name(), bundle.refresh_hint, bundle.sequence), ("five.test", 90, 0));
        assert!(bundle.x509_authorities.is_empty());
    }
}
