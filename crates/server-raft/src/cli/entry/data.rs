//! The file that `-data` names: SPIRE's older JSON form of entries, which operators keep in repositories.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use steeple_api::types::entry::AdditionalAttributes;
use steeple_api::types::{Entry, Selector};
use steeple_cli::{Context, Failure};

use crate::cli::selectors::parse_id;

pub(super) struct Parsed {
    pub entries: Vec<Entry>,
    /// Members that nothing reads. SPIRE ignores them in silence.
    pub warnings: Vec<String>,
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
    #[serde(rename = "entryExpiry", alias = "entry_expiry")]
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

pub(super) fn parse_entries(json: &[u8]) -> Result<Parsed, Failure> {
    let file: File =
        serde_json::from_slice(json).map_err(|error| Failure::Message(format!("failed to parse JSON: {error}")))?;
    let mut warnings = Vec::new();
    let mut entries = Vec::with_capacity(file.entries.len());
    for (at, entry) in file.entries.into_iter().enumerate() {
        warnings
            .extend(entry.other.keys().map(|name| format!("member {name:?} of entry {at} is unknown and not used")));
        entries.push(converted(entry).context(format!("could not parse entry {at}"))?);
    }
    Ok(Parsed { entries, warnings })
}

fn converted(entry: FileEntry) -> Result<Entry, Failure> {
    let id =
        |name: &str, text: &str| parse_id(text).map_err(|error| Failure::Message(format!("{name} {text:?}: {error}")));
    Ok(Entry {
        id: entry.entry_id,
        spiffe_id: Some(id("spiffe_id", &entry.spiffe_id)?),
        parent_id: Some(id("parent_id", &entry.parent_id)?),
        selectors: entry
            .selectors
            .into_iter()
            .map(|selector| Selector { r#type: selector.kind, value: selector.value })
            .collect(),
        x509_svid_ttl: entry.x509_svid_ttl,
        jwt_svid_ttl: entry.jwt_svid_ttl,
        federates_with: entry.federates_with,
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
    fn what_is_wrong_is_named() {
        let text = |json: &[u8]| parse_entries(json).err().unwrap().to_string();
        assert!(text(b"nonsense").starts_with("failed to parse JSON: "));
        let json = br#"{"entries": [{"spiffe_id": "w", "parent_id": "spiffe://example.org/p"}]}"#;
        assert_eq!(text(json), "could not parse entry 0: spiffe_id \"w\": scheme is missing or invalid");
    }
}
