//! Snapshots in memory, for `crates/fuzz`.

use super::codec::{Decoder, Encoder, Meta};
use crate::Row;

/// What a whole snapshot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRead {
    pub applied: Option<u64>,
    pub meta: Meta,
    pub rows: Vec<Row>,
}

/// `None` where the bytes are no snapshot from the first to the last.
pub fn read_snapshot(bytes: &[u8]) -> Option<SnapshotRead> {
    let mut decoder = Decoder::begin(bytes).ok()?;
    let mut rows = Vec::new();
    while let Some(more) = decoder.next_rows().ok()? {
        rows.extend(more);
    }
    Some(SnapshotRead { applied: decoder.applied, meta: std::mem::take(&mut decoder.meta), rows })
}

/// `None` where a row is larger than a snapshot may hold.
pub fn write_snapshot(snapshot: &SnapshotRead) -> Option<Vec<u8>> {
    let mut encoder = Encoder::begin(Vec::new(), snapshot.applied, &snapshot.meta).ok()?;
    for row in &snapshot.rows {
        encoder.row(row).ok()?;
    }
    Some(encoder.finish().ok()?.0)
}
