//! Protobuf messages, and their way into values.

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use steeple_api::convert::{
    bundle_from_wire, bundle_to_wire, entry_from_wire, entry_to_wire, relationship_from_wire, relationship_to_wire,
};
use steeple_api::types;
use steeple_api::types::federation_relationship::BundleEndpointProfile;
use steeple_core::SpiffeId;

use super::issued;
use super::message_kinds::MESSAGE_KINDS;
use crate::{Verdict, within};

/// Two bytes choose the message, the rest is it. Beside the generated reader stands the one that the command line
/// uses, which knows the descriptor only.
pub fn any(data: &[u8]) -> Verdict {
    let Some((choice, bytes)) = data.split_first_chunk::<2>() else { return Verdict::Refused };
    let kinds = || MESSAGE_KINDS.iter().copied().flatten();
    let kind = kinds().nth(usize::from(u16::from_le_bytes(*choice)) % kinds().count()).expect("there are messages");
    let name = (kind.name)();
    let descriptor = DESCRIPTORS.get_message_by_name(&name).expect("every message has a descriptor");
    // An empty message inside another takes two bytes on the wire, and here as many as its type has.
    let rewritten = within(MESSAGE_TIMES_MAX, bytes, || (kind.rewrite)(bytes));
    let dynamic = DynamicMessage::decode(descriptor, bytes);
    let Ok(rewritten) = rewritten else {
        assert!(dynamic.is_err(), "{name}: the generated reader refused it alone");
        return Verdict::Refused;
    };
    assert!(dynamic.is_ok(), "{name}: the generated reader accepted it alone");
    assert_eq!((kind.rewrite)(&rewritten).as_ref(), Ok(&rewritten), "{name}");
    Verdict::Read
}

/// Each message without a field.
pub fn any_seeds() -> Vec<Vec<u8>> {
    let count = MESSAGE_KINDS.iter().map(|kinds| kinds.len()).sum::<usize>();
    (0..u16::try_from(count).unwrap_or(u16::MAX)).map(|choice| choice.to_le_bytes().to_vec()).collect()
}

pub fn entry(data: &[u8]) -> Verdict {
    let Ok(message) = types::Entry::decode(data) else { return Verdict::Refused };
    let domain = issued::trust_domain();
    let Ok(draft) = entry_from_wire(&domain, &message, None) else { return Verdict::Refused };
    let written = entry_to_wire(&draft.entry, None);
    let again = entry_from_wire(&domain, &written, None).expect("what was read is written");
    assert_eq!(again.entry, draft.entry);
    Verdict::Read
}

pub fn entry_seeds() -> Vec<Vec<u8>> {
    let id = |path: &str| Some(types::Spiffeid { trust_domain: "example.org".to_owned(), path: path.to_owned() });
    let entry = types::Entry {
        id: "id".to_owned(),
        spiffe_id: id("/workload"),
        parent_id: id("/node"),
        selectors: vec![types::Selector { r#type: "unix".to_owned(), value: "uid:1000".to_owned() }],
        federates_with: vec!["spiffe://other.test".to_owned()],
        dns_names: vec!["workload.test".to_owned()],
        x509_svid_ttl: 60,
        hint: "hint".to_owned(),
        ..types::Entry::default()
    };
    vec![entry.encode_to_vec()]
}

pub fn bundle(data: &[u8]) -> Verdict {
    let Ok(message) = types::Bundle::decode(data) else { return Verdict::Refused };
    let Ok(bundle) = within(60, data, || bundle_from_wire(&message, None)) else { return Verdict::Refused };
    assert_eq!(bundle_from_wire(&bundle_to_wire(&bundle, None), None).as_ref().ok(), Some(&bundle));
    Verdict::Read
}

pub fn bundle_seeds() -> Vec<Vec<u8>> {
    vec![bundle_to_wire(&issued::bundle(), None).encode_to_vec()]
}

pub fn relationship(data: &[u8]) -> Verdict {
    let Ok(message) = types::FederationRelationship::decode(data) else { return Verdict::Refused };
    let Ok((relationship, bundle)) = relationship_from_wire(&message) else { return Verdict::Refused };
    let written = relationship_to_wire(&relationship, bundle.as_ref(), None);
    let again = relationship_from_wire(&written).expect("what was read is written");
    assert_eq!(again, (relationship, bundle));
    Verdict::Read
}

pub fn relationship_seeds() -> Vec<Vec<u8>> {
    let id = SpiffeId::from_parts(&issued::trust_domain(), "/bundle").expect("an ID");
    let profile = types::HttpsspiffeProfile { endpoint_spiffe_id: id.to_string() };
    let relationship = types::FederationRelationship {
        trust_domain: "example.org".to_owned(),
        bundle_endpoint_url: "https://example.org:8443/bundle".to_owned(),
        bundle_endpoint_profile: Some(BundleEndpointProfile::HttpsSpiffe(profile)),
        trust_domain_bundle: Some(bundle_to_wire(&issued::bundle(), None)),
    };
    vec![relationship.encode_to_vec()]
}

/// A message of 4 MiB, which a listener's clients may send, takes this many times as much at its worst.
const MESSAGE_TIMES_MAX: u64 = 600;

static DESCRIPTORS: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(steeple_api::FILE_DESCRIPTOR_SET).expect("our own descriptors"));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_message_is_listed() {
        let listed: BTreeSet<String> = MESSAGE_KINDS.iter().copied().flatten().map(|kind| (kind.name)()).collect();
        let ours = DESCRIPTORS.all_messages().filter(|message| !message.is_map_entry());
        let ours = ours.map(|message| message.full_name().to_owned());
        // Those are not ours to name, and come within other messages.
        let foreign = |name: &String| name.starts_with("google.protobuf.") || name.starts_with("envoy.type.");
        let missing: Vec<String> = ours.filter(|name| !foreign(name) && !listed.contains(name)).collect();
        assert_eq!(missing, [""; 0], "add them to message_kinds.rs");
    }
}
