//! Ways to this crate's private readers for `crates/fuzz`; there only with the feature of that name.

pub use crate::snapshot::fuzzing::{SnapshotRead, read_snapshot, write_snapshot};

use crate::{LogEntry, StorageError, record, wal};

/// A record of a write-ahead log, whatever its content.
pub fn wal_record(kind: u8, content: &[u8]) -> Vec<u8> {
    wal::written::fragment(kind, content)
}

/// A write-ahead log of one batch for each change, with what was synced then.
pub fn write_wal(changes: &[(u64, Option<u64>)]) -> Vec<u8> {
    wal::written::log(changes)
}

/// Whether a write-ahead log is whole. `None`: something that was synced is gone.
pub fn read_wal(log: &[u8]) -> Option<bool> {
    wal::is_whole(log)
}

/// The value that lies in the database under `index`.
pub fn read_record(index: u64, value: &[u8]) -> Result<LogEntry, StorageError> {
    record::decode(index, value)
}

pub fn write_record(entry: &LogEntry) -> Vec<u8> {
    record::encode(entry)
}
