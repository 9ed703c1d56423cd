//! A read-only look into a data directory, for `log inspect` and for people who find a server that will not start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rocksdb::{DB, Direction, IteratorMode, properties};

use crate::db::{self, RAFT_LOG, RAFT_META, STATE_META};
use crate::kv::{self, CALLER, Generation};
use crate::log_index::{self, COMMITTED, PURGED, VOTE};
use crate::snapshot::SnapshotInfo;
use crate::{InUse, LogEntry, Purged, Row, StorageError, checked, format, identity, record, snapshot, wal};

/// A store that is looked at and not changed. The server should be stopped: a running one may delete files under it.
pub struct Inspector {
    rocks: DB,
    dir: PathBuf,
}

/// What the directory says about itself, without its log entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub format: u32,
    pub identity: BTreeMap<String, Vec<u8>>,
    /// In the encodings of whoever saved them.
    pub vote: Option<Vec<u8>>,
    pub committed: Option<Vec<u8>>,
    pub purged: Option<Purged>,
    /// The applied index of the rows.
    pub applied: Option<u64>,
}

impl Inspector {
    /// # Errors
    /// [`StorageError::NoStore`], the format errors, and [`StorageError::Corrupt`] when RocksDB cannot read it at all.
    pub fn open(dir: &Path) -> Result<Self, StorageError> {
        format::read_format(dir)?.ok_or_else(|| StorageError::NoStore { dir: dir.to_path_buf() })?;
        let mut options = db::db_options(wal::end_of(dir)?);
        options.create_if_missing(false);
        options.create_missing_column_families(false);
        let families = db::FAMILIES.map(|name| (name, db::family_options(name)));
        let rocks = DB::open_cf_with_opts_for_read_only(&options, format::db_path(dir), families, false)
            .map_err(|error| StorageError::engine("open the database", dir, &error))?;
        wal::demand(dir, rocks.latest_sequence_number())?;
        Ok(Self { rocks, dir: dir.to_path_buf() })
    }

    /// Whether a server runs on the directory, which then is not all on disk.
    pub fn in_use(&self) -> Result<Option<InUse>, StorageError> {
        format::in_use(&self.dir)
    }

    pub fn summary(&self) -> Result<Summary, StorageError> {
        let mut summary = Summary { format: format::FORMAT, ..Summary::default() };
        let family = db::family(&self.rocks, RAFT_META)?;
        for item in self.rocks.iterator_cf(&family, IteratorMode::Start) {
            let (key, stored) = item.map_err(|error| self.unreadable(&error))?;
            let value = checked::open(&key, &stored)?;
            match &key[..] {
                VOTE => summary.vote = Some(value),
                COMMITTED => summary.committed = Some(value),
                PURGED => summary.purged = Some(log_index::parse_purged(&value)?),
                _ => {
                    if let Some(name) = identity::name_of(&key) {
                        summary.identity.insert(name, value);
                    }
                }
            }
        }
        summary.applied = kv::applied(|key| self.state_meta(key))?;
        Ok(summary)
    }

    /// A value that the caller stored beside the rows.
    pub fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.state_meta(&[&[CALLER], key].concat())
    }

    /// All rows in order of table and key.
    pub fn rows(&self) -> Result<impl Iterator<Item = Result<Row, StorageError>> + '_, StorageError> {
        let generation = Generation::read(|key| self.state_meta(key))?;
        let family = db::family(&self.rocks, generation.family())?;
        let items = self.rocks.iterator_cf(&family, IteratorMode::Start);
        Ok(items.map(|item| item.map_err(|error| self.unreadable(&error)).and_then(kv::row)))
    }

    /// The current snapshot, if there is one; all of it is read and checked.
    pub fn snapshot(&self) -> Result<Option<SnapshotInfo>, StorageError> {
        snapshot::inspect(&format::snapshots_path(&self.dir))
    }

    fn state_meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let state = db::family(&self.rocks, STATE_META)?;
        let stored = self.rocks.get_cf(&state, key).map_err(|error| self.unreadable(&error))?;
        stored.map(|stored| checked::open(key, &stored)).transpose()
    }

    /// Every entry from `from` on that the log is meant to hold, good or bad: a damaged record is an item that names
    /// its index, and the walk goes on behind it.
    pub fn entries(
        &self,
        from: u64,
    ) -> Result<impl Iterator<Item = Result<LogEntry, StorageError>> + '_, StorageError> {
        let purged = self.summary()?.purged;
        let floor = purged.map_or(0, |purged| purged.index.saturating_add(1)).max(from);
        let family = db::family(&self.rocks, RAFT_LOG)?;
        let items = self.rocks.iterator_cf(&family, IteratorMode::From(&record::key(floor), Direction::Forward));
        Ok(items.map(|item| {
            let (key, value) = item.map_err(|error| self.unreadable(&error))?;
            record::decode(record::index_of(&key)?, &value)
        }))
    }

    /// Of the last entry in the log, readable or not. For estimates.
    pub fn last_index(&self) -> Result<Option<u64>, StorageError> {
        let family = db::family(&self.rocks, RAFT_LOG)?;
        let last = self.rocks.iterator_cf(&family, IteratorMode::End).next();
        let last = last.transpose().map_err(|error| self.unreadable(&error))?;
        last.map(|(key, _)| record::index_of(&key)).transpose()
    }

    /// About how many rows there are.
    pub fn rows_estimate(&self) -> Result<u64, StorageError> {
        let generation = Generation::read(|key| self.state_meta(key))?;
        let family = db::family(&self.rocks, generation.family())?;
        let estimate = self.rocks.property_int_value_cf(&family, properties::ESTIMATE_NUM_KEYS);
        Ok(estimate.map_err(|error| self.unreadable(&error))?.unwrap_or(0))
    }

    fn unreadable(&self, error: &rocksdb::Error) -> StorageError {
        StorageError::engine("read", &self.dir, error)
    }
}
