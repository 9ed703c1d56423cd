//! The handle on an open store, and what all its parts share.

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::db::{Db, RAFT_META, STATE_META};
use crate::flusher::Flusher;
use crate::format::DataDir;
use crate::kv::Generation;
use crate::log_index::LogIndex;
use crate::snapshot::SnapshotFiles;
use crate::stats::Counters;
use crate::{Identity, Kv, Log, Meter, Options, Snapshots, Space, Stats, StorageError, space};

/// An open store. Clones share it; the last one dropped serves the waiting flushes, closes it and unlocks the
/// directory.
#[derive(Clone)]
pub struct Storage {
    shared: Arc<Shared>,
}

/// Fields drop in this order: the flusher finishes before the database closes.
pub(crate) struct Shared {
    pub(crate) flusher: Flusher,
    pub(crate) db: Arc<Db>,
    /// Held from a log write to its submission, so that the flusher acknowledges in write order.
    pub(crate) log: Mutex<LogIndex>,
    /// Which rows are in force; written only while a snapshot is being installed.
    pub(crate) generation: RwLock<Generation>,
    pub(crate) snapshots: SnapshotFiles,
    /// One build or installation at a time.
    pub(crate) snapshot_work: Mutex<()>,
    pub(crate) counters: Arc<Counters>,
}

impl Storage {
    /// Opens the store in `dir`, creating it if there is none.
    ///
    /// Recovers the WAL, then reads the vote, the identity, every log entry and the current snapshot once: damage is
    /// found before this replica votes, not when a peer asks.
    ///
    /// # Errors
    /// [`StorageError::InUse`], [`StorageError::ForeignFormat`], [`StorageError::NewerFormat`],
    /// [`StorageError::DiskFull`], and the corruption variants; none of them changed the store.
    pub fn open(dir: &Path, options: Options) -> Result<Storage, StorageError> {
        let data_dir = DataDir::open(dir)?;
        // First: RocksDB reserves room for its WAL, too.
        space::reserve_ballast(dir, options.ballast_bytes)?;
        let by_hand = options.flush_by_hand.clone();
        let db = Arc::new(Db::open(data_dir, options)?);
        db.verify_checked(RAFT_META)?;
        db.verify_checked(STATE_META)?;
        let log = LogIndex::load(&db)?;
        let generation = Generation::load(&db)?;
        let snapshots = SnapshotFiles::open(&db)?;
        let counters = Arc::new(Counters::default());
        let flusher = Flusher::start(Arc::clone(&db), Arc::clone(&counters), by_hand)?;
        let shared = Shared {
            flusher,
            db,
            log: Mutex::new(log),
            generation: RwLock::new(generation),
            snapshots,
            snapshot_work: Mutex::new(()),
            counters,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub fn log(&self) -> Log {
        Log::new(Arc::clone(&self.shared))
    }

    pub fn kv(&self) -> Kv {
        Kv::new(Arc::clone(&self.shared))
    }

    pub fn identity(&self) -> Identity {
        Identity::new(Arc::clone(&self.shared))
    }

    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(Arc::clone(&self.shared))
    }

    /// `Err` with the cause once a write or flush has failed: the answer for a readiness check.
    pub fn health(&self) -> Result<(), StorageError> {
        self.shared.db.health.check()
    }

    /// The room on the volume, measured now.
    pub fn space(&self) -> Result<Space, StorageError> {
        Space::of(self.shared.db.path())
    }

    /// For numbers that are read for as long as the process lives.
    pub fn meter(&self) -> Meter {
        Meter::new(Arc::downgrade(&self.shared))
    }

    pub fn stats(&self) -> Stats {
        let db = &self.shared.db;
        Stats { wal_syncs: db.wal_syncs(), background_errors: db.background_errors(), ..self.shared.counters.read() }
    }
}
