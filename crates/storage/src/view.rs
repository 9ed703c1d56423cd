//! Reading rows and meta of one instant while writes go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use rocksdb::{BoundColumnFamily, DB, IteratorMode, SnapshotWithThreadMode};

use crate::db::{Db, STATE_META};
use crate::kv::{self, CALLER, applied};
use crate::storage::Shared;
use crate::{Row, StorageError, checked};

/// The state at one instant. It holds old data on disk for as long as it lives, so it is for one pass, not for keeping.
pub struct KvView<'a> {
    db: &'a Db,
    snapshot: SnapshotWithThreadMode<'a, DB>,
    rows: Arc<BoundColumnFamily<'a>>,
    meta: Arc<BoundColumnFamily<'a>>,
}

impl<'a> KvView<'a> {
    /// The generation lock keeps the rows' pointer and the snapshot in step.
    pub(crate) fn new(shared: &'a Shared) -> Result<Self, StorageError> {
        let db = &*shared.db;
        let generation = shared.generation.read();
        Ok(Self {
            db,
            snapshot: db.rocks().snapshot(),
            rows: db.family(generation.family())?,
            meta: db.family(STATE_META)?,
        })
    }

    /// All rows in order of table and key.
    pub fn rows(&self) -> impl Iterator<Item = Result<Row, StorageError>> + '_ {
        let items = self.snapshot.iterator_cf(&self.rows, IteratorMode::Start);
        items.map(|item| item.map_err(|error| self.db.unreadable(&error)).and_then(kv::row))
    }

    pub fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.checked(&[&[CALLER], key].concat())
    }

    /// Every meta value of the caller.
    pub fn all_meta(&self) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StorageError> {
        let mut all = BTreeMap::new();
        for item in self.snapshot.iterator_cf(&self.meta, IteratorMode::Start) {
            let (key, stored) = item.map_err(|error| self.db.unreadable(&error))?;
            if let Some((&CALLER, name)) = key.split_first() {
                all.insert(name.to_vec(), checked::open(&key, &stored)?);
            }
        }
        Ok(all)
    }

    pub fn applied(&self) -> Result<Option<u64>, StorageError> {
        applied(|key| self.checked(key))
    }

    fn checked(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let stored = self.snapshot.get_cf(&self.meta, key).map_err(|error| self.db.unreadable(&error))?;
        stored.map(|stored| checked::open(key, &stored)).transpose()
    }
}
