//! The file that `-data` names: SPIRE's older JSON form of entries, which operators keep in repositories.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use steeple_api::types::entry::AdditionalAttributes;
use steeple_api::types::{Entry, Selector};
use steeple_cli::Failure;
use steeple_core::TrustDomain;

use crate::cli::go_json::{Shape, Struct, from_go_json};
use crate::cli::selectors::parse_id;

pub(super) struct Parsed {
    pub entries: Vec<Entry>,
    /// Members that nothing reads. SPIRE ignores them in silence.
    pub warnings: Vec<String>,
}

/// SPIRE's words: it does not tell which entry is the bad one.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataError {
    #[error("{why}")]
    Entry { at: usize, why: String },
    #[error("{0}")]
    Json(String),
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    entries: Vec<FileEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FileEntry {
    selectors: Vec<FileSelector>,
    parent_id: String,
    spiffe_id: String,
    x509_svid_ttl: i32,
    jwt_svid_ttl: i32,
    federates_with: Vec<String>,
    entry_id: String,
    admin: bool,
    downstream: bool,
    #[serde(rename = "entryexpiry")]
    entry_expiry: i64,
    dns_names: Vec<String>,
    store_svid: bool,
    hint: String,
    additional_attributes: Option<FileAttributes>,
    /// Owned by the server; accepted because `entry show -output json` is where many such files come from.
    revision_number: Option<Value>,
    created_at: Option<Value>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct FileSelector {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    value: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FileAttributes {
    disable_x509_svid_prefetch: bool,
    jwt_svid_include_jti: bool,
}

impl DataError {
    /// As who looks into a repository of entries needs it.
    pub(super) fn located(self) -> Failure {
        match self {
            Self::Entry { at, why } => Failure::Message(format!("could not parse entry {at}: {why}")),
            Self::Json(error) => Failure::Message(format!("failed to parse JSON: {error}")),
        }
    }
}

pub(super) fn parse_entries(json: &[u8]) -> Result<Parsed, DataError> {
    let file: File = from_go_json(json, &FILE).map_err(DataError::Json)?;
    let mut warnings = Vec::new();
    let mut entries = Vec::with_capacity(file.entries.len());
    for (at, entry) in file.entries.into_iter().enumerate() {
        warnings
            .extend(entry.other.keys().map(|name| format!("member {name:?} of entry {at} is unknown and not used")));
        entries.push(converted(entry).map_err(|why| DataError::Entry { at, why })?);
    }
    Ok(Parsed { entries, warnings })
}

fn converted(entry: FileEntry) -> Result<Entry, String> {
    let id = |name: &str, text: &str| parse_id(text).map_err(|error| format!("invalid {name}: {error}"));
    let (spiffe_id, parent_id) = (id("SPIFFE ID", &entry.spiffe_id)?, id("parent ID", &entry.parent_id)?);
    let domain = |name: &String| TrustDomain::parse(name).map(|domain| domain.name().to_owned());
    let federates_with: Result<Vec<String>, _> = entry.federates_with.iter().map(domain).collect();
    Ok(Entry {
        id: entry.entry_id,
        spiffe_id: Some(spiffe_id),
        parent_id: Some(parent_id),
        selectors: entry
            .selectors
            .into_iter()
            .map(|selector| Selector { r#type: selector.kind, value: selector.value })
            .collect(),
        x509_svid_ttl: entry.x509_svid_ttl,
        jwt_svid_ttl: entry.jwt_svid_ttl,
        federates_with: federates_with.map_err(|error| format!("invalid federated trust domain: {error}"))?,
        admin: entry.admin,
        downstream: entry.downstream,
        expires_at: entry.entry_expiry,
        dns_names: entry.dns_names,
        store_svid: entry.store_svid,
        hint: entry.hint,
        additional_attributes: entry.additional_attributes.map(|attributes| AdditionalAttributes {
            disable_x509_svid_prefetch: attributes.disable_x509_svid_prefetch,
            jwt_svid_include_jti: attributes.jwt_svid_include_jti,
        }),
        ..Entry::default()
    })
}

const FILE: Struct =
    Struct { name: "common.RegistrationEntries", members: &[("entries", Shape::List(&Shape::Object(&ENTRY)))] };

const ENTRY: Struct = Struct {
    name: "common.RegistrationEntry",
    members: &[
        ("selectors", Shape::List(&Shape::Object(&SELECTOR))),
        ("parent_id", Shape::Text),
        ("spiffe_id", Shape::Text),
        ("x509_svid_ttl", Shape::Int32),
        ("federates_with", Shape::List(&Shape::Text)),
        ("entry_id", Shape::Text),
        ("admin", Shape::Bool),
        ("downstream", Shape::Bool),
        ("entryExpiry", Shape::Int64),
        ("dns_names", Shape::List(&Shape::Text)),
        ("store_svid", Shape::Bool),
        ("jwt_svid_ttl", Shape::Int32),
        ("hint", Shape::Text),
        ("additional_attributes", Shape::Object(&ATTRIBUTES)),
    ],
};

const SELECTOR: Struct = Struct { name: "common.Selector", members: &[("type", Shape::Text), ("value", Shape::Text)] };

const ATTRIBUTES: Struct = Struct {
    name: "common.RegistrationEntry_AdditionalAttributes",
    members: &[("disable_x509_svid_prefetch", Shape::Bool), ("jwt_svid_include_jti", Shape::Bool)],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spires_form() {
        let json = br#"{"entries": [{
            "selectors": [{"type": "unix", "value": "uid:1"}], "spiffe_id": "spiffe://example.org/a",
            "parent_id": "spiffe://example.org/p", "x509_svid_ttl": 60, "entryExpiry": 7, "dns_names": ["a.test"],
            "store_svid": true, "ttl": 5
        }]}"#;
        let parsed = parse_entries(json).unwrap();
        let entry = &parsed.entries[0];
        assert_eq!((entry.x509_svid_ttl, entry.expires_at, entry.store_svid), (60, 7, true));
        assert_eq!(entry.spiffe_id.as_ref().unwrap().path, "/a");
        assert_eq!(entry.selectors[0].value, "uid:1");
        assert_eq!(parsed.warnings, ["member \"ttl\" of entry 0 is unknown and not used"]);
    }

    #[test]
    fn names_in_any_case_and_members_that_are_not_set() {
        let json = br#"{"Entries": [{
            "SELECTORS": [{"Type": "unix", "VALUE": "uid:1"}], "Spiffe_ID": "spiffe://example.org/a", "dns_names": null,
            "PARENT_ID": "spiffe://example.org/p", "EntryExpiry": 7, "additional_attributes": null
        }]}"#;
        let entry = parse_entries(json).unwrap().entries.remove(0);
        assert_eq!((entry.spiffe_id.unwrap().path.as_str(), entry.expires_at), ("/a", 7));
        assert_eq!((entry.selectors[0].value.as_str(), entry.additional_attributes), ("uid:1", None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |json: &[u8]| parse_entries(json).err().unwrap();
        assert!(error(b"nonsense").located().to_string().starts_with("failed to parse JSON: "));
        let json = br#"{"entries": [{"spiffe_id": "w", "parent_id": "spiffe://example.org/p"}]}"#;
        assert_eq!(error(json).to_string(), "invalid SPIFFE ID: scheme is missing or invalid");
        let list = br#"{"entries": [{"spiffe_id": ["w"]}]}"#;
        let told =
            "json: cannot unmarshal array into Go struct field RegistrationEntry.entries.spiffe_id of type string";
        assert_eq!(error(list).to_string(), told);
        let federated = br#"{"entries": [{"spiffe_id": "spiffe://example.org/w", "parent_id": "spiffe://example.org/p",
            "federates_with": ["one.test", "b d"]}]}"#;
        assert!(error(federated).to_string().starts_with("invalid federated trust domain: trust domain characters"));
        let located = "could not parse entry 0: invalid SPIFFE ID: scheme is missing or invalid";
        assert_eq!(error(json).located().to_string(), located);
    }
}
