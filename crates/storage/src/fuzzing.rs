//! Ways to this crate's private readers for `crates/fuzz`; there only with the feature of that name.

pub use crate::snapshot::fuzzing::{SnapshotRead, read_snapshot, write_snapshot};

use crate::{LogEntry, StorageError, record, wal};

/// Whether a write-ahead log is whole. `None`: something that was synced is gone.
pub fn read_log(log: &[u8]) -> Option<bool> {
    wal::is_whole(log)
}

/// The value that lies in the database under `index`.
pub fn read_record(index: u64, value: &[u8]) -> Result<LogEntry, StorageError> {
    record::decode(index, value)
}

pub fn write_record(entry: &LogEntry) -> Vec<u8> {
    record::encode(entry)
}
