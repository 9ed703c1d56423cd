//! The replicated rows: what the state machine wrote, changed by one atomic batch per applied piece of the log.

use std::sync::Arc;

use rocksdb::{IteratorMode, ReadOptions, WriteBatch};

use crate::db::{Db, STATE_A, STATE_B, STATE_META};
use crate::storage::Shared;
use crate::view::KvView;
use crate::{FailPoint, StorageError, checked};

/// The longest key and value together: a row is at most what one log entry carried.
pub const ROW_BYTES_MAX: usize = 16 << 20;
/// The longest batch. One batch holds what a few thousand log entries changed; RocksDB keeps it in memory.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// Tables are 0 to 254; the last number ends the key space.
pub const TABLE_MAX: u8 = u8::MAX - 1;

/// In the meta family our own keys begin with 0, the caller's with 1.
const OWN_GENERATION: &[u8] = b"\0generation";
const OWN_APPLIED: &[u8] = b"\0applied";
pub(crate) const CALLER: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub table: u8,
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Changes that become visible together or not at all.
#[derive(Default)]
pub struct Batch {
    changes: Vec<Change>,
    size_bytes: usize,
}

enum Change {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Clear,
    Meta(Vec<u8>, Vec<u8>),
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    /// # Errors
    /// [`StorageError::ReservedTable`] above [`TABLE_MAX`], [`StorageError::TooLarge`] above [`ROW_BYTES_MAX`].
    pub fn put(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        StorageError::limit("a row", key.len().saturating_add(value.len()), ROW_BYTES_MAX)?;
        let key = row_key(table, key)?;
        self.push(key.len() + value.len(), Change::Put(key, value.to_vec()));
        Ok(())
    }

    /// Deleting what does not exist is no error.
    pub fn delete(&mut self, table: u8, key: &[u8]) -> Result<(), StorageError> {
        let key = row_key(table, key)?;
        self.push(key.len(), Change::Delete(key));
        Ok(())
    }

    /// Removes every row that exists here, put earlier in this batch included. The meta values stay.
    pub fn clear(&mut self) {
        self.push(0, Change::Clear);
    }

    /// A value beside the rows, such as the membership; it travels in snapshots.
    pub fn meta(&mut self, key: &[u8], value: &[u8]) {
        self.push(key.len() + value.len(), Change::Meta([&[CALLER], key].concat(), value.to_vec()));
    }

    /// The log index to which this batch brings the state. Snapshots carry it and are never installed over a later one.
    pub fn applied(&mut self, index: u64) {
        self.push(8, Change::Meta(OWN_APPLIED.to_vec(), index.to_be_bytes().to_vec()));
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn push(&mut self, size_bytes: usize, change: Change) {
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
        self.changes.push(change);
    }
}

/// The rows of this replica.
#[derive(Clone)]
pub struct Kv {
    shared: Arc<Shared>,
}

impl Kv {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes `batch` to the WAL without syncing: the entries that it was computed from are durable already, and
    /// replaying them gives the same rows.
    pub fn write(&self, batch: Batch) -> Result<(), StorageError> {
        StorageError::limit("a batch of rows", batch.size_bytes, BATCH_BYTES_MAX)?;
        let db = &self.shared.db;
        let generation = self.shared.generation.read();
        let (rows, meta) = (db.family(generation.family())?, db.family(STATE_META)?);
        let mut writes = WriteBatch::default();
        for change in batch.changes {
            match change {
                Change::Put(key, value) => writes.put_cf(&rows, key, value),
                Change::Delete(key) => writes.delete_cf(&rows, key),
                Change::Clear => writes.delete_range_cf(&rows, vec![], vec![u8::MAX]),
                Change::Meta(key, value) => writes.put_cf(&meta, &key, checked::seal(&key, &value)),
            }
        }
        db.reach(FailPoint::BeforeStateWrite)?;
        db.write(writes, "write rows")
    }

    pub fn get(&self, table: u8, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let generation = self.shared.generation.read();
        self.shared.db.get(generation.family(), &row_key(table, key)?)
    }

    /// At most `limit` rows of `table`, in key order, the first at or after `from`.
    pub fn scan(&self, table: u8, from: &[u8], limit: usize) -> Result<Vec<Row>, StorageError> {
        let db = &self.shared.db;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(row_key(table, from)?);
        options.set_iterate_upper_bound(vec![table + 1]);
        let generation = self.shared.generation.read();
        let family = db.family(generation.family())?;
        let items = db.rocks().iterator_cf_opt(&family, options, IteratorMode::Start).take(limit);
        items.map(|item| item.map_err(|error| db.unreadable(&error)).and_then(row)).collect()
    }

    pub fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.shared.db.get_checked(STATE_META, &[&[CALLER], key].concat())
    }

    pub fn applied(&self) -> Result<Option<u64>, StorageError> {
        applied(|key| self.shared.db.get_checked(STATE_META, key))
    }

    /// Rows and meta of one instant, whatever is written meanwhile.
    pub fn view(&self) -> Result<KvView<'_>, StorageError> {
        KvView::new(&self.shared)
    }
}

/// Which of the two row families is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    A,
    B,
}

impl Generation {
    /// Reads the pointer, and empties the spare rows if an installation was cut short.
    pub(crate) fn load(db: &Db) -> Result<Self, StorageError> {
        let current = Self::read(|key| db.get_checked(STATE_META, key))?;
        let spare = current.other().family();
        if db.rocks().iterator_cf(&db.family(spare)?, IteratorMode::Start).next().is_some() {
            db.recreate_family(spare)?;
        }
        Ok(current)
    }

    /// The pointer, through whatever reads a checked meta value.
    pub(crate) fn read(get: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, StorageError>) -> Result<Self, StorageError> {
        match get(OWN_GENERATION)?.as_deref() {
            None | Some(b"a") => Ok(Self::A),
            Some(b"b") => Ok(Self::B),
            Some(_) => Err(StorageError::Corrupt {
                what: "the generation of the rows".to_owned(),
                detail: "neither a nor b".to_owned(),
            }),
        }
    }

    /// Points at this generation in `batch`.
    pub(crate) fn put_into(self, batch: &mut WriteBatch, db: &Db) -> Result<(), StorageError> {
        let name: &[u8] = match self {
            Self::A => b"a",
            Self::B => b"b",
        };
        batch.put_cf(&db.family(STATE_META)?, OWN_GENERATION, checked::seal(OWN_GENERATION, name));
        Ok(())
    }

    pub(crate) fn family(self) -> &'static str {
        match self {
            Self::A => STATE_A,
            Self::B => STATE_B,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// The applied index, through whatever reads a checked meta value.
pub(crate) fn applied(
    get: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, StorageError>,
) -> Result<Option<u64>, StorageError> {
    let Some(stored) = get(OWN_APPLIED)? else { return Ok(None) };
    let index = stored.try_into().map_err(|_| StorageError::Corrupt {
        what: "the applied index".to_owned(),
        detail: "wrong length".to_owned(),
    })?;
    Ok(Some(u64::from_be_bytes(index)))
}

pub(crate) fn put_applied(batch: &mut WriteBatch, db: &Db, index: u64) -> Result<(), StorageError> {
    batch.put_cf(&db.family(STATE_META)?, OWN_APPLIED, checked::seal(OWN_APPLIED, &index.to_be_bytes()));
    Ok(())
}

pub(crate) fn row_key(table: u8, key: &[u8]) -> Result<Vec<u8>, StorageError> {
    if table > TABLE_MAX {
        return Err(StorageError::ReservedTable { table, max: TABLE_MAX });
    }
    Ok([&[table], key].concat())
}

/// The row that lies under the key that [`row_key`] made.
pub(crate) fn row((key, value): (Box<[u8]>, Box<[u8]>)) -> Result<Row, StorageError> {
    let (table, key) = key
        .split_first()
        .ok_or_else(|| StorageError::Corrupt { what: "a row".to_owned(), detail: "it has no key".to_owned() })?;
    Ok(Row { table: *table, key: key.to_vec(), value: value.into_vec() })
}
