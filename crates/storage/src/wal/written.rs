//! Logs as RocksDB writes them, for those that try the readers.

use super::fragments;
use super::mark::Mark;

/// A fragment with a right checksum. Of `content` no more counts than its length can say.
pub(crate) fn fragment(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&fragments::checksum(kind, content).to_le_bytes()[..], &length.to_le_bytes(), &[kind], content].concat()
}

/// One change, and the mark of `synced` in a log that began with change 10.
pub(crate) fn batch(change: u64, synced: Option<u64>) -> Vec<u8> {
    let mut batch = [&change.to_le_bytes()[..], &1_u32.to_le_bytes(), b"a change"].concat();
    if let Some(synced) = synced {
        batch.extend(Mark::PREFIX);
        batch.extend(Mark { synced, begun: 10 }.encode());
    }
    batch
}

/// One record of one fragment for each change.
pub(crate) fn log(changes: &[(u64, Option<u64>)]) -> Vec<u8> {
    changes.iter().flat_map(|(change, synced)| fragment(FULL, &batch(*change, *synced))).collect()
}

pub(crate) const FULL: u8 = 1;
