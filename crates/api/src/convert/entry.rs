//! Registration entries.

use std::collections::BTreeSet;

use steeple_core::{Entry, Selector, TrustDomain};

use super::{ConvertError, id_from_wire, id_to_wire, selectors_from_wire, selectors_to_wire, trust_domain_from_wire};
use crate::types;

/// An entry as a client sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryDraft {
    /// Fields that the mask leaves out are empty; a left-out ID is the trust domain's own, which no entry can have.
    pub entry: Entry,
    /// As sent: a set cannot tell that a selector came twice, which SPIRE refuses.
    pub selectors: Vec<Selector>,
}

/// A field that cannot be read, and those before it: a server reports the first fault, be it of form or of content.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct UnreadableEntry {
    pub error: ConvertError,
    pub entry: Entry,
    /// The fields with rules of their own that `entry` has.
    pub read: types::EntryMask,
}

/// Reads the fields that `mask` names: the input mask of an update, or the output mask under which a server sent it.
pub fn entry_from_wire(
    trust_domain: &TrustDomain,
    wire: &types::Entry,
    mask: Option<&types::EntryMask>,
) -> Result<EntryDraft, Box<UnreadableEntry>> {
    let mut draft = EntryDraft { entry: blank(trust_domain, wire), selectors: Vec::new() };
    let mut read = types::EntryMask::default();
    match read_fields(wire, mask, &mut draft, &mut read) {
        Ok(()) => Ok(draft),
        Err(error) => Err(Box::new(UnreadableEntry { error, entry: draft.entry, read })),
    }
}

/// In the order in which SPIRE reads.
fn read_fields(
    wire: &types::Entry,
    mask: Option<&types::EntryMask>,
    draft: &mut EntryDraft,
    read: &mut types::EntryMask,
) -> Result<(), ConvertError> {
    let given = |field: fn(&types::EntryMask) -> bool| mask.is_none_or(field);
    let entry = &mut draft.entry;
    if given(|mask| mask.parent_id) {
        entry.parent_id = id_from_wire(wire.parent_id.as_ref()).map_err(|error| error.within("invalid parent ID"))?;
        read.parent_id = true;
    }
    if given(|mask| mask.spiffe_id) {
        entry.spiffe_id = id_from_wire(wire.spiffe_id.as_ref()).map_err(|error| error.within("invalid spiffe ID"))?;
        read.spiffe_id = true;
    }
    if given(|mask| mask.dns_names) {
        entry.dns_names.clone_from(&wire.dns_names);
        read.dns_names = true;
    }
    if given(|mask| mask.federates_with) {
        entry.federates_with = federates_with(&wire.federates_with)?;
    }
    if given(|mask| mask.selectors) {
        draft.selectors = selectors_from_wire(&wire.selectors)?;
        entry.selectors = draft.selectors.iter().cloned().collect();
    }
    if given(|mask| mask.x509_svid_ttl) {
        entry.x509_svid_ttl = wire.x509_svid_ttl;
    }
    if given(|mask| mask.jwt_svid_ttl) {
        entry.jwt_svid_ttl = wire.jwt_svid_ttl;
    }
    if given(|mask| mask.admin) {
        entry.admin = wire.admin;
    }
    if given(|mask| mask.downstream) {
        entry.downstream = wire.downstream;
    }
    if given(|mask| mask.expires_at) {
        entry.expires_at = wire.expires_at;
    }
    if given(|mask| mask.store_svid) {
        entry.store_svid = wire.store_svid;
    }
    if given(|mask| mask.hint) {
        entry.hint.clone_from(&wire.hint);
    }
    if let Some(attributes) = wire.additional_attributes.filter(|_| given(|mask| mask.additional_attributes)) {
        entry.disable_x509_svid_prefetch = attributes.disable_x509_svid_prefetch;
        entry.jwt_svid_include_jti = attributes.jwt_svid_include_jti;
    }
    Ok(())
}

pub fn entry_to_wire(entry: &Entry, mask: Option<&types::EntryMask>) -> types::Entry {
    let wanted = |field: fn(&types::EntryMask) -> bool| mask.is_none_or(field);
    let mut wire = types::Entry { id: entry.id.clone(), ..types::Entry::default() };
    if wanted(|mask| mask.spiffe_id) {
        wire.spiffe_id = Some(id_to_wire(&entry.spiffe_id));
    }
    if wanted(|mask| mask.parent_id) {
        wire.parent_id = Some(id_to_wire(&entry.parent_id));
    }
    if wanted(|mask| mask.selectors) {
        wire.selectors = selectors_to_wire(&entry.selectors);
    }
    if wanted(|mask| mask.x509_svid_ttl) {
        wire.x509_svid_ttl = entry.x509_svid_ttl;
    }
    if wanted(|mask| mask.jwt_svid_ttl) {
        wire.jwt_svid_ttl = entry.jwt_svid_ttl;
    }
    if wanted(|mask| mask.federates_with) {
        wire.federates_with = entry.federates_with.iter().map(|domain| domain.name().to_owned()).collect();
    }
    if wanted(|mask| mask.admin) {
        wire.admin = entry.admin;
    }
    if wanted(|mask| mask.downstream) {
        wire.downstream = entry.downstream;
    }
    if wanted(|mask| mask.expires_at) {
        wire.expires_at = entry.expires_at;
    }
    if wanted(|mask| mask.dns_names) {
        wire.dns_names.clone_from(&entry.dns_names);
    }
    if wanted(|mask| mask.revision_number) {
        wire.revision_number = entry.revision;
    }
    if wanted(|mask| mask.store_svid) {
        wire.store_svid = entry.store_svid;
    }
    if wanted(|mask| mask.hint) {
        wire.hint.clone_from(&entry.hint);
    }
    if wanted(|mask| mask.created_at) {
        wire.created_at = entry.created_at;
    }
    if wanted(|mask| mask.additional_attributes) {
        wire.additional_attributes = attributes_to_wire(entry);
    }
    wire
}

/// What identifies the entry and its version. A server ignores the version that a client sends.
fn blank(trust_domain: &TrustDomain, wire: &types::Entry) -> Entry {
    Entry {
        id: wire.id.clone(),
        spiffe_id: trust_domain.id(),
        parent_id: trust_domain.id(),
        selectors: Default::default(),
        x509_svid_ttl: 0,
        jwt_svid_ttl: 0,
        federates_with: Vec::new(),
        admin: false,
        downstream: false,
        expires_at: 0,
        dns_names: Vec::new(),
        revision: wire.revision_number,
        store_svid: false,
        hint: String::new(),
        created_at: wire.created_at,
        disable_x509_svid_prefetch: false,
        jwt_svid_include_jti: false,
    }
}

/// In the order of the client, in which unknown ones are told; stored entries have them sorted (SPIRE behaviour).
fn federates_with(names: &[String]) -> Result<Vec<TrustDomain>, ConvertError> {
    let mut seen = BTreeSet::new();
    let domains = names.iter().map(|name| trust_domain_from_wire(name)).collect::<Result<Vec<_>, _>>();
    let mut domains = domains.map_err(|error| error.within("invalid federated trust domain"))?;
    domains.retain(|domain| seen.insert(domain.clone()));
    Ok(domains)
}

fn attributes_to_wire(entry: &Entry) -> Option<types::entry::AdditionalAttributes> {
    let attributes = types::entry::AdditionalAttributes {
        disable_x509_svid_prefetch: entry.disable_x509_svid_prefetch,
        jwt_svid_include_jti: entry.jwt_svid_include_jti,
    };
    Some(attributes).filter(|attributes| *attributes != Default::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> TrustDomain {
        TrustDomain::parse("example.org").unwrap()
    }

    fn wire() -> types::Entry {
        let id = |path: &str| Some(types::Spiffeid { trust_domain: "spiffe://example.org".into(), path: path.into() });
        let selector = |value: &str| types::Selector { r#type: "unix".into(), value: value.into() };
        types::Entry {
            spiffe_id: id("/web"),
            parent_id: id("/node"),
            selectors: vec![selector("uid:2"), selector("gid:3"), selector("uid:2")],
            federates_with: vec!["two.test".into(), "spiffe://one.test".into(), "two.test".into()],
            ..types::Entry::default()
        }
    }

    #[test]
    fn lists_become_sets() {
        let draft = entry_from_wire(&domain(), &wire(), None).unwrap();
        assert_eq!((draft.selectors.len(), draft.entry.selectors.len()), (3, 2));
        let names: Vec<_> = draft.entry.federates_with.iter().map(TrustDomain::name).collect();
        assert_eq!(names, ["two.test", "one.test"]);
        assert_eq!(entry_to_wire(&draft.entry, None).federates_with, names);
    }

    #[test]
    fn attributes_that_are_all_off_are_not_sent() {
        let none = Some(types::entry::AdditionalAttributes::default());
        let draft = entry_from_wire(&domain(), &types::Entry { additional_attributes: none, ..wire() }, None).unwrap();
        assert_eq!(entry_to_wire(&draft.entry, None).additional_attributes, None);
    }

    #[test]
    fn what_comes_before_an_unreadable_field_is_kept() {
        let wire = types::Entry { spiffe_id: None, dns_names: vec!["a.test".into()], ..wire() };
        let unreadable = entry_from_wire(&domain(), &wire, None).unwrap_err();
        assert_eq!(unreadable.entry.parent_id.path(), "/node");
        assert_eq!(unreadable.read, types::EntryMask { parent_id: true, ..types::EntryMask::default() });
    }

    #[test]
    fn texts_are_spires() {
        let no_type = types::Selector { r#type: String::new(), value: "v".into() };
        let colon = types::Selector { r#type: "a:b".into(), value: "v".into() };
        let no_value = types::Selector { r#type: "t".into(), value: String::new() };
        let upper = types::Spiffeid { trust_domain: "Example.org".into(), path: "/a".into() };
        let domain_text =
            "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores";
        let cases = [
            (
                types::Entry { spiffe_id: None, ..wire() },
                "invalid spiffe ID: request must specify SPIFFE ID".to_owned(),
            ),
            (
                types::Entry { parent_id: None, ..wire() },
                "invalid parent ID: request must specify SPIFFE ID".to_owned(),
            ),
            (types::Entry { spiffe_id: Some(upper), ..wire() }, format!("invalid spiffe ID: {domain_text}")),
            (types::Entry { selectors: vec![no_type], ..wire() }, "missing selector type".to_owned()),
            (types::Entry { selectors: vec![colon], ..wire() }, "selector type contains ':'".to_owned()),
            (types::Entry { selectors: vec![no_value], ..wire() }, "missing selector value".to_owned()),
            (
                types::Entry { federates_with: vec!["bad domain".into()], ..wire() },
                format!("invalid federated trust domain: {domain_text}"),
            ),
        ];
        for (wire, text) in cases {
            assert_eq!(entry_from_wire(&domain(), &wire, None).unwrap_err().to_string(), text);
        }
    }
}
