//! The errors of this crate. Each says what happened, to what, and what an operator does next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why storage refused or failed. `Clone`, because one failed flush is reported to every waiter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Another process (or another `Storage` in this one) holds the directory.
    #[error(
        "data directory {} is in use{}; stop that server, or give this one a data directory of its own",
        dir.display(), match holder { Some(pid) => format!(" by process {pid}"), None => String::new() }
    )]
    InUse { dir: PathBuf, holder: Option<u32> },

    /// The directory holds a store that is not ours.
    #[error(
        "{} is not a Steeple data directory ({found}); point data_dir at an empty directory or at the right one",
        dir.display()
    )]
    ForeignFormat { dir: PathBuf, found: String },

    /// A newer release wrote the directory.
    #[error(
        "data directory {} has storage format {found}, this release reads up to {supported}; \
         start the release that wrote it, or a newer one", dir.display()
    )]
    NewerFormat { dir: PathBuf, found: u32, supported: u32 },

    /// There is no store to inspect.
    #[error("{} holds no Steeple store; check the path, or start a server there first", dir.display())]
    NoStore { dir: PathBuf },

    /// A store is to be made where something lies already.
    #[error(
        "{} is not empty: it holds {found}; stop the server that uses it, and name an empty directory or move what is \
         there away", dir.display()
    )]
    NotEmpty { dir: PathBuf, found: String },

    /// An earlier replacement kept the store that it replaced.
    #[error(
        "{} holds the store that an earlier recovery put aside: move it away, or delete it once it is of no use",
        path.display()
    )]
    PutAside { path: PathBuf },

    #[error(
        "no space left on the volume of {}; free space or grow it, then restart the server (deleting the file BALLAST \
         in the data directory gives enough room to start)", dir.display()
    )]
    DiskFull { dir: PathBuf },

    /// RocksDB refuses the database, or a record of ours fails its checksum.
    #[error(
        "{what} is corrupt: {detail}; do not delete files by hand: remove this replica from the cluster and let it \
         rejoin with an empty data directory, or restore a backup"
    )]
    Corrupt { what: String, detail: String },

    #[error(
        "log entry {index} is corrupt: {detail}; remove this replica from the cluster and let it rejoin with an empty \
         data directory, or restore a backup"
    )]
    CorruptLogEntry { index: u64, detail: String },

    #[error(
        "log entry {index} is missing between entries that exist; remove this replica from the cluster and let it \
         rejoin with an empty data directory, or restore a backup"
    )]
    MissingLogEntry { index: u64 },

    #[error(
        "snapshot {} is corrupt: {detail}; ask for it again, or if it is the stored one remove this replica and let \
         it rejoin with an empty data directory", path.display()
    )]
    CorruptSnapshot { path: PathBuf, detail: String },

    #[error("snapshot holds applied index {found:?} where {expected} was announced; ask the leader for it again")]
    SnapshotMismatch { expected: u64, found: Option<u64> },

    #[error("snapshot exceeds {max_bytes} bytes; check that the sender is a replica of this cluster")]
    SnapshotTooLarge { max_bytes: u64 },

    /// The caller broke the order of the log; nothing was written.
    #[error("log index {found} where {expected} was expected; this is a defect, please report it")]
    OutOfOrder { expected: u64, found: u64 },

    #[error("{what} of {size_bytes} bytes exceeds the limit of {max_bytes} bytes; split the change")]
    TooLarge { what: &'static str, size_bytes: usize, max_bytes: usize },

    #[error("table {table} is reserved; use 0 to {max}")]
    ReservedTable { table: u8, max: u8 },

    #[error("cannot {action} {}: {detail}; check the volume and its permissions", path.display())]
    Io { action: &'static str, path: PathBuf, kind: io::ErrorKind, detail: String },

    /// RocksDB reported something that is none of the above.
    #[error("cannot {action}: {detail}; check the volume, then restart the server")]
    Engine { action: &'static str, detail: String },

    /// A write or flush failed earlier. Nothing is accepted any more: what the disk holds is no longer known.
    #[error("storage stopped accepting work after a failure ({cause}); restart the server once the cause is gone")]
    Failed { cause: Arc<StorageError> },

    #[error("storage is shutting down; send the request to another replica")]
    Stopped,
}

impl StorageError {
    /// An operating system error while doing `action` to `path`.
    pub(crate) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::DiskFull { dir: path.to_path_buf() };
        }
        Self::Io { action, path: path.to_path_buf(), kind: error.kind(), detail: error.to_string() }
    }

    pub(crate) fn limit(what: &'static str, size_bytes: usize, max_bytes: usize) -> Result<(), Self> {
        if size_bytes > max_bytes { Err(Self::TooLarge { what, size_bytes, max_bytes }) } else { Ok(()) }
    }

    /// A RocksDB error while doing `action` to the store in `dir`. The binding hands out text only.
    pub(crate) fn engine(action: &'static str, dir: &Path, error: &rocksdb::Error) -> Self {
        let detail = error.as_ref();
        if detail.contains("No space left on device") {
            return Self::DiskFull { dir: dir.to_path_buf() };
        }
        match error.kind() {
            rocksdb::ErrorKind::Corruption => {
                Self::Corrupt { what: format!("the database in {}", dir.display()), detail: detail.to_owned() }
            }
            _ => Self::Engine { action, detail: detail.to_owned() },
        }
    }
}
