//! Whatever bytes a client sends, conversion answers with a value or an error and never panics.

use proptest::prelude::*;
use prost::Message;
use steeple_api::convert::{bundle_from_wire, entry_from_wire, relationship_from_wire};
use steeple_api::types;
use steeple_core::TrustDomain;

proptest! {
    #[test]
    fn any_bytes_that_decode(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        convert(&bytes);
    }

    /// Well-formed messages with odd content come further than random bytes do.
    #[test]
    fn any_text_in_any_field(
        texts in prop::collection::vec("\\PC{0,12}|spiffe://[a-z./]{0,8}|https://[a-z@:/?]{0,8}", 6),
        number in any::<i32>(),
        der in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let text = |at: usize| texts[at].clone();
        let id = Some(types::Spiffeid { trust_domain: text(0), path: text(1) });
        let entry = types::Entry {
            id: text(2),
            spiffe_id: id.clone(),
            parent_id: id,
            selectors: vec![types::Selector { r#type: text(3), value: text(4) }],
            federates_with: vec![text(5)],
            x509_svid_ttl: number,
            ..types::Entry::default()
        };
        let bundle = types::Bundle {
            trust_domain: text(0),
            x509_authorities: vec![types::X509Certificate { asn1: der.clone(), tainted: true }],
            jwt_authorities: vec![types::JwtKey { public_key: der, key_id: text(1), ..types::JwtKey::default() }],
            ..types::Bundle::default()
        };
        let profile = types::HttpsspiffeProfile { endpoint_spiffe_id: text(2) };
        let relationship = types::FederationRelationship {
            trust_domain: text(3),
            bundle_endpoint_url: text(4),
            bundle_endpoint_profile: Some(types::federation_relationship::BundleEndpointProfile::HttpsSpiffe(profile)),
            trust_domain_bundle: Some(bundle.clone()),
        };
        for bytes in [entry.encode_to_vec(), bundle.encode_to_vec(), relationship.encode_to_vec()] {
            convert(&bytes);
        }
    }
}

fn convert(bytes: &[u8]) {
    let trust_domain = TrustDomain::from_name("example.org").unwrap();
    if let Ok(entry) = types::Entry::decode(bytes) {
        let _ = entry_from_wire(&trust_domain, &entry, None);
    }
    if let Ok(bundle) = types::Bundle::decode(bytes) {
        let _ = bundle_from_wire(&bundle, None);
    }
    if let Ok(relationship) = types::FederationRelationship::decode(bytes) {
        let _ = relationship_from_wire(&relationship);
    }
}
