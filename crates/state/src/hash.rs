//! The state hash: one number for all rows, kept up to date at the cost of the rows that change.
//!
//! Each row becomes SHA-256(table, key length, key, value); the state's hash is the sum of these digests, added as four
//! little-endian 64-bit lanes that wrap. Addition makes it independent of order and lets a row be taken out again. It
//! finds replicas that diverged through a defect; it is not meant to withstand someone who chooses rows to collide.
//!
//! Rows are hashed as this version encodes them, so the hashes of two replicas compare only at equal format versions.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::Table;

/// A hash over every row; equal states have equal hashes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct StateHash([u64; 4]);

impl StateHash {
    /// Counts a row in. Rows as this version encodes them give the hash of the state that they make up.
    pub fn add(&mut self, table: Table, key: &[u8], value: &[u8]) {
        for (lane, part) in self.0.iter_mut().zip(row_digest(table, key, value)) {
            *lane = lane.wrapping_add(part);
        }
    }

    pub(crate) fn remove(&mut self, table: Table, key: &[u8], value: &[u8]) {
        for (lane, part) in self.0.iter_mut().zip(row_digest(table, key, value)) {
            *lane = lane.wrapping_sub(part);
        }
    }

    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(lanes(bytes))
    }

    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }
}

/// Lowercase hex.
impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateHash({self})")
    }
}

fn row_digest(table: Table, key: &[u8], value: &[u8]) -> [u64; 4] {
    let mut hasher = Sha256::new();
    hasher.update([table.number()]);
    hasher.update((key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    lanes(&hasher.finalize().into())
}

fn lanes(digest: &[u8; 32]) -> [u64; 4] {
    let mut lanes = [0; 4];
    for (lane, chunk) in lanes.iter_mut().zip(digest.chunks_exact(8)) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        *lane = u64::from_le_bytes(bytes);
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let rows: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", b"2"), (b"c", b"")];
        let mut forward = StateHash::default();
        let mut backward = StateHash::default();
        rows.iter().for_each(|(key, value)| forward.add(Table::Entries, key, value));
        rows.iter().rev().for_each(|(key, value)| backward.add(Table::Entries, key, value));
        assert_eq!(forward, backward);
        assert_eq!(StateHash::from_bytes(&forward.to_bytes()), forward);
        rows.iter().for_each(|(key, value)| forward.remove(Table::Entries, key, value));
        assert_eq!(forward, StateHash::default());
    }

    #[test]
    fn table_key_and_value_are_kept_apart() {
        let hash = |table, key: &[u8], value: &[u8]| {
            let mut hash = StateHash::default();
            hash.add(table, key, value);
            hash
        };
        assert_ne!(hash(Table::Entries, b"ab", b"c"), hash(Table::Entries, b"a", b"bc"));
        assert_ne!(hash(Table::Entries, b"a", b"b"), hash(Table::Agents, b"a", b"b"));
    }
}
