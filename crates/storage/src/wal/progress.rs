//! How far the write-ahead log is written, and how far it is synced.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use parking_lot::RwLock;

use super::mark::{self, Mark};
use super::synced::{self, Synced};
use crate::{StorageError, format};

/// Of an open store, in its changes: RocksDB's sequence numbers.
pub(crate) struct Progress {
    /// Writes past the log hold it alone, so that the newest change is one of the log when [`Self::log`] takes it over.
    past_the_log: RwLock<()>,
    begun: u64,
    /// The last change that is in the log, and the last one that was synced.
    logged: AtomicU64,
    synced: AtomicU64,
    file: Synced,
}

impl Progress {
    /// Of the store in `dir` that RocksDB recovered to its change `recovered`: recovery wrote into files, and synced,
    /// what it found.
    ///
    /// # Errors
    /// As of [`demand`].
    pub(crate) fn begin(dir: &Path, recovered: u64) -> Result<Self, StorageError> {
        demand(dir, recovered)?;
        let begun = recovered + 1;
        Ok(Self {
            past_the_log: RwLock::default(),
            begun,
            logged: AtomicU64::new(recovered),
            synced: AtomicU64::new(recovered),
            file: Synced::begin(&format::db_path(dir), Mark { synced: recovered, begun })?,
        })
    }

    /// For `WriteBatch::put_log_data`, behind everything else of a batch.
    pub(crate) fn mark(&self) -> [u8; mark::BYTES] {
        self.mark_at(self.synced.load(SeqCst)).encode()
    }

    /// `write` puts a batch into the log and says what the store's last change is then.
    pub(crate) fn log<E>(&self, write: impl FnOnce() -> Result<u64, E>) -> Result<(), E> {
        let _in_the_log = self.past_the_log.read();
        self.logged.fetch_max(write()?, SeqCst);
        Ok(())
    }

    /// `write` puts a batch past the log.
    pub(crate) fn pass_by<T>(&self, write: impl FnOnce() -> T) -> T {
        let _alone = self.past_the_log.write();
        write()
    }

    /// `sync` makes durable all that was logged before.
    pub(crate) fn sync<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let logged = self.logged.load(SeqCst);
        sync()?;
        let synced = self.synced.fetch_max(logged, SeqCst).max(logged);
        self.file.put(self.mark_at(synced));
        Ok(())
    }

    fn mark_at(&self, synced: u64) -> Mark {
        Mark { synced, begun: self.begun }
    }
}

/// Whether RocksDB, which opened the store in `dir`, came to what was synced. `recovered` is its last change.
///
/// # Errors
/// [`StorageError::Corrupt`] if the log ends before: something was cut off, or a file is gone.
pub(crate) fn demand(dir: &Path, recovered: u64) -> Result<(), StorageError> {
    match synced::read(&format::db_path(dir)) {
        Some(Mark { synced, .. }) if recovered < synced => {
            let ends = format!("it ends with change {recovered}, and was synced to change {synced}");
            Err(super::corrupt(dir, ends))
        }
        _ => Ok(()),
    }
}
