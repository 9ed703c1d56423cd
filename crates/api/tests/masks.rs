//! Output masks, field by field: SPIRE numbers a mask's fields as the fields that they stand for, so a mask of only
//! number n must yield the identifying field and number n, and nothing else.

use std::collections::BTreeSet;

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, encode_key, encode_varint, skip_field};
use steeple_api::convert::{agent_to_wire, bundle_to_wire, entry_from_wire, entry_to_wire, relationship_to_wire};
use steeple_api::types;
use steeple_core::{
    AttestedAgent, Bundle, BundleEndpointProfile, Entry, FederationRelationship, JwtAuthority, Selector, SpiffeId,
    TrustDomain, X509Authority,
};

#[test]
fn entry_masks() {
    for field in 2..=16 {
        let wire = entry_to_wire(&full_entry(), Some(&mask::<types::EntryMask>(field)));
        assert_eq!(fields(&wire), BTreeSet::from([1, field]));
    }
    assert_eq!(fields(&entry_to_wire(&full_entry(), None)), (1..=16).collect());
    assert_eq!(fields(&entry_to_wire(&full_entry(), Some(&types::EntryMask::default()))), BTreeSet::from([1]));
}

#[test]
fn agent_masks() {
    let mut agent = full_agent();
    for field in (2..=8).filter(|field| *field != 6) {
        assert_eq!(fields(&agent_to_wire(&agent, Some(&mask(field)))), BTreeSet::from([1, field]));
    }
    // A banned agent is one without a serial.
    agent.serial.clear();
    assert_eq!(fields(&agent_to_wire(&agent, Some(&mask(6)))), BTreeSet::from([1, 6]));
}

#[test]
fn bundle_masks() {
    let bundle = full_bundle();
    for field in 2..=6 {
        assert_eq!(fields(&bundle_to_wire(&bundle, Some(&mask(field)))), BTreeSet::from([1, field]));
    }
    assert_eq!(fields(&bundle_to_wire(&bundle, None)), (1..=6).collect());
}

/// The exception: this mask has numbers of its own.
#[test]
fn relationship_masks() {
    let relationship = FederationRelationship {
        trust_domain: domain("foreign.test"),
        bundle_endpoint_url: "https://foreign.test/".into(),
        profile: BundleEndpointProfile::HttpsWeb,
    };
    let bundle = full_bundle();
    for (number, field) in [(1, 2), (2, 3), (3, 5)] {
        let wire = relationship_to_wire(&relationship, Some(&bundle), Some(&mask(number)));
        assert_eq!(fields(&wire), BTreeSet::from([1, field]));
    }
    assert_eq!(fields(&relationship_to_wire(&relationship, Some(&bundle), None)), BTreeSet::from([1, 2, 3, 5]));
}

/// An input mask lets exactly its own field through: what is read under it and written again is that field.
#[test]
fn entry_input_masks() {
    let wire = entry_to_wire(&full_entry(), None);
    let none = entry_from_wire(&domain("example.org"), &wire, Some(&types::EntryMask::default())).unwrap().entry;
    // Revision and creation time tell versions apart; they come along under every mask.
    for field in (2..=16).filter(|field| ![11, 15].contains(field)) {
        let mask = mask::<types::EntryMask>(field);
        let draft = entry_from_wire(&domain("example.org"), &wire, Some(&mask)).unwrap();
        assert_ne!(draft.entry, none, "field {field} was not read");
        assert_eq!(entry_to_wire(&draft.entry, Some(&mask)), entry_to_wire(&full_entry(), Some(&mask)));
        assert_eq!(draft.selectors.is_empty(), field != 4);
    }
}

/// A mask in which only the field with this number is true.
fn mask<M: Message + Default>(field: u32) -> M {
    let mut bytes = Vec::new();
    encode_key(field, WireType::Varint, &mut bytes);
    encode_varint(1, &mut bytes);
    let mask = M::decode(bytes.as_slice()).unwrap();
    assert_ne!(mask.encoded_len(), 0, "the mask has no field {field}");
    mask
}

/// The numbers of the fields that are set.
fn fields(message: &impl Message) -> BTreeSet<u32> {
    let bytes = message.encode_to_vec();
    let mut rest = bytes.as_slice();
    let mut numbers = BTreeSet::new();
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(&mut rest).unwrap();
        skip_field(wire_type, number, &mut rest, DecodeContext::default()).unwrap();
        numbers.insert(number);
    }
    numbers
}

fn domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

fn full_entry() -> Entry {
    Entry {
        id: "e1".into(),
        spiffe_id: SpiffeId::parse("spiffe://example.org/web").unwrap(),
        parent_id: SpiffeId::parse("spiffe://example.org/node").unwrap(),
        selectors: [Selector::new("unix", "uid:1000").unwrap()].into_iter().collect(),
        x509_svid_ttl: 60,
        jwt_svid_ttl: 70,
        federates_with: vec![domain("foreign.test")],
        admin: true,
        downstream: true,
        expires_at: 4_102_444_800,
        dns_names: vec!["b.example.org".into(), "a.example.org".into()],
        revision: 3,
        store_svid: true,
        hint: "external".into(),
        created_at: 1_900_000_000,
        disable_x509_svid_prefetch: true,
        jwt_svid_include_jti: true,
    }
}

fn full_agent() -> AttestedAgent {
    AttestedAgent {
        id: SpiffeId::parse("spiffe://example.org/spire/agent/x509pop/1").unwrap(),
        attestation_type: "x509pop".into(),
        serial: "17".into(),
        not_after: 1_900_000_000,
        new_serial: "18".into(),
        new_not_after: 1_900_000_100,
        can_reattest: true,
        selectors: [Selector::new("x509pop", "subject:cn:one").unwrap()].into_iter().collect(),
        agent_version: "1.15.3".into(),
    }
}

fn full_bundle() -> Bundle {
    let key = JwtAuthority { public_key: vec![2], key_id: "k".into(), expires_at: 0, tainted: false };
    Bundle {
        trust_domain: domain("foreign.test"),
        x509_authorities: vec![X509Authority { der: vec![1], tainted: false }],
        jwt_authorities: vec![key.clone()],
        wit_authorities: vec![key],
        refresh_hint: 60,
        sequence: 42,
    }
}
