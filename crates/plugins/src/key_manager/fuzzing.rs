//! `keys.json` in memory, for `crates/fuzz`.

use std::collections::BTreeMap;

use steeple_core::Secret;

use super::disk;

pub fn read_keys(text: &[u8]) -> Result<BTreeMap<String, Secret>, String> {
    disk::parse(text)
}

pub fn write_keys(keys: &BTreeMap<String, Secret>) -> serde_json::Result<Vec<u8>> {
    disk::to_text(keys).map(|text| text.to_vec())
}
