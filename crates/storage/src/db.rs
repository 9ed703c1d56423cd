//! The one RocksDB: its column families, its settings with their reasons, and the only calls that write to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::statistics::{StatsLevel, Ticker};
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, FlushOptions,
    IteratorMode, LogLevel, WriteBatch, WriteOptions,
};

use crate::format::{self, DataDir};
use crate::health::Health;
use crate::wal::{self, End, Progress};
use crate::{FailPoint, FailPoints, Options, StorageError, checked};

pub(crate) const RAFT_LOG: &str = "raft_log";
pub(crate) const RAFT_META: &str = "raft_meta";
pub(crate) const STATE_A: &str = "state_a";
pub(crate) const STATE_B: &str = "state_b";
pub(crate) const STATE_META: &str = "state_meta";
pub(crate) const FAMILIES: [&str; 5] = [RAFT_LOG, RAFT_META, STATE_A, STATE_B, STATE_META];

/// A quiet column family pins the WAL that holds its last write; above this size RocksDB flushes it.
const WAL_BYTES_MAX: u64 = 128 << 20;
/// The log is rewritten all the time: a larger memtable lets purged entries die before they reach a file.
const LOG_MEMTABLE_BYTES: usize = 32 << 20;
const MEMTABLE_BYTES: usize = 16 << 20;
/// Checksums cover the block's place and its metadata from this version on.
const TABLE_FORMAT_VERSION: i32 = 6;
/// RocksDB's own text log: four files of this size are enough to explain a refusal to open.
const INFO_LOG_BYTES_MAX: usize = 4 << 20;
const INFO_LOG_FILES_MAX: usize = 4;

/// Dropping it closes RocksDB first and lets go of the directory last.
pub(crate) struct Db {
    rocks: DB,
    /// Holds RocksDB's counters.
    options: rocksdb::Options,
    pub(crate) dir: DataDir,
    pub(crate) health: Health,
    fail_points: FailPoints,
    wal: Progress,
}

impl Db {
    pub(crate) fn open(dir: DataDir, options: Options) -> Result<Self, StorageError> {
        let families = FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, family_options(name)));
        let engine = db_options(wal::end_of(dir.path())?);
        let rocks = DB::open_cf_descriptors(&engine, format::db_path(dir.path()), families)
            .map_err(|error| StorageError::engine("open the database", dir.path(), &error))?;
        Ok(Self {
            wal: Progress::begin(dir.path(), rocks.latest_sequence_number())?,
            rocks,
            options: engine,
            dir,
            health: Health::new(options.on_fatal),
            fail_points: options.fail_points,
        })
    }

    pub(crate) fn rocks(&self) -> &DB {
        &self.rocks
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn snapshots_path(&self) -> PathBuf {
        format::snapshots_path(self.path())
    }

    pub(crate) fn family(&self, name: &'static str) -> Result<Arc<BoundColumnFamily<'_>>, StorageError> {
        family(&self.rocks, name)
    }

    /// Puts `batch` into the WAL, where it survives this process but not yet a power cut. A failure is final.
    pub(crate) fn write(&self, mut batch: WriteBatch, action: &'static str) -> Result<(), StorageError> {
        self.health.check()?;
        batch.put_log_data(self.wal.mark());
        let written = self.wal.log(|| self.rocks.write(batch).map(|()| self.rocks.latest_sequence_number()));
        written.map_err(|error| self.fail(action, &error))
    }

    /// Writes rows that nobody reads yet past the WAL; [`Db::flush_family`] makes them durable.
    pub(crate) fn write_unlogged(&self, batch: WriteBatch, action: &'static str) -> Result<(), StorageError> {
        self.health.check()?;
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        let written = self.wal.pass_by(|| self.rocks.write_opt(batch, &options));
        written.map_err(|error| self.fail(action, &error))
    }

    /// Makes durable all that [`Db::write`] put into the WAL before. Only the flusher calls this.
    pub(crate) fn sync_wal(&self) -> Result<(), StorageError> {
        self.health.check()?;
        let synced = self.wal.sync(|| self.rocks.flush_wal(true));
        synced.map_err(|error| self.fail("sync the write-ahead log", &error))
    }

    /// How often RocksDB synced the WAL, by its own count.
    pub(crate) fn wal_syncs(&self) -> u64 {
        self.options.get_ticker_count(Ticker::WalFileSynced)
    }

    pub(crate) fn background_errors(&self) -> u64 {
        // Only a number of the metrics: a property that cannot be read is no error.
        self.rocks.property_int_value(rocksdb::properties::BACKGROUND_ERRORS).ok().flatten().unwrap_or(0)
    }

    /// Writes the memtable of a family to a file; with `wait`, it is durable on return.
    pub(crate) fn flush_family(&self, name: &'static str, wait: bool) -> Result<(), StorageError> {
        self.health.check()?;
        let mut options = FlushOptions::default();
        options.set_wait(wait);
        let family = self.family(name)?;
        self.rocks.flush_cf_opt(&family, &options).map_err(|error| self.fail("flush a memtable", &error))
    }

    /// Empties a family without leaving tombstones: its files are unlinked.
    pub(crate) fn recreate_family(&self, name: &'static str) -> Result<(), StorageError> {
        self.health.check()?;
        self.rocks.drop_cf(name).map_err(|error| self.fail("drop old rows", &error))?;
        self.rocks.create_cf(name, &family_options(name)).map_err(|error| self.fail("make room for new rows", &error))
    }

    pub(crate) fn get(&self, family: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.rocks.get_cf(&self.family(family)?, key).map_err(|error| self.unreadable(&error))
    }

    /// A value that was stored with [`checked::seal`].
    pub(crate) fn get_checked(&self, family: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(family, key)?.map(|stored| checked::open(key, &stored)).transpose()
    }

    /// Checks every value of a family that holds checked ones, so that a damaged vote stops the start.
    pub(crate) fn verify_checked(&self, family: &'static str) -> Result<(), StorageError> {
        for item in self.rocks.iterator_cf(&self.family(family)?, IteratorMode::Start) {
            let (key, stored) = item.map_err(|error| self.unreadable(&error))?;
            checked::open(&key, &stored)?;
        }
        Ok(())
    }

    /// A failed read harms nothing that was promised, so it is reported and not final.
    pub(crate) fn unreadable(&self, error: &rocksdb::Error) -> StorageError {
        StorageError::engine("read", self.path(), error)
    }

    pub(crate) fn reach(&self, point: FailPoint) -> Result<(), StorageError> {
        self.fail_points.reach(point).map_err(|error| self.health.fail(StorageError::io("write", self.path(), &error)))
    }

    fn fail(&self, action: &'static str, error: &rocksdb::Error) -> StorageError {
        self.health.fail(StorageError::engine(action, self.path(), error))
    }
}

pub(crate) fn family<'a>(rocks: &'a DB, name: &'static str) -> Result<Arc<BoundColumnFamily<'a>>, StorageError> {
    rocks.cf_handle(name).ok_or_else(|| StorageError::Corrupt {
        what: format!("the column family {name}"),
        detail: "it does not exist".to_owned(),
    })
}

pub(crate) fn db_options(end: End) -> rocksdb::Options {
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // The default stops in silence at the first damaged record, and with it at acknowledged votes and entries. So only
    // what `wal` judged may end in damage; neither mode must be combined with recycled WAL files.
    options.set_wal_recovery_mode(match end {
        // Refuses to open unless only the end is cut short.
        End::Whole | End::Unmarked => DBRecoveryMode::TolerateCorruptedTailRecords,
        End::Torn => DBRecoveryMode::PointInTime,
    });
    options.set_recycle_log_file_num(0);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    // Each write reaches the page cache before it returns, so a killed process loses nothing.
    options.set_manual_wal_flush(false);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    // Files stay open: range tombstones are read on every open of a file.
    options.set_max_open_files(-1);
    options.set_max_background_jobs(2);
    // Spreads the writing of large files, so that a WAL sync does not wait behind one.
    options.set_bytes_per_sync(1 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(INFO_LOG_BYTES_MAX);
    options.set_keep_log_file_num(INFO_LOG_FILES_MAX);
    options.enable_statistics();
    options.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

pub(crate) fn family_options(name: &str) -> rocksdb::Options {
    let mut table = BlockBasedOptions::default();
    table.set_format_version(TABLE_FORMAT_VERSION);
    let mut options = rocksdb::Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(if name == RAFT_LOG { LOG_MEMTABLE_BYTES } else { MEMTABLE_BYTES });
    options
}
