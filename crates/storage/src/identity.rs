//! Who this replica is: a few small values that must outlive everything else in the directory.

use std::sync::Arc;

use rocksdb::WriteBatch;

use crate::db::RAFT_META;
use crate::storage::Shared;
use crate::{StorageError, checked};

/// They share a column family with the vote.
const PREFIX: &[u8] = b"identity/";

/// Durable names and values: node id, storage UUID, cluster UUID, the marker that bootstrapping happened.
#[derive(Clone)]
pub struct Identity {
    shared: Arc<Shared>,
}

impl Identity {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.shared.db.get_checked(RAFT_META, &key(name))
    }

    /// Durable on return.
    pub fn put(&self, name: &str, value: &[u8]) -> Result<(), StorageError> {
        self.put_all(&[(name, value)])
    }

    /// All of them or none; durable on return.
    pub fn put_all(&self, values: &[(&str, &[u8])]) -> Result<(), StorageError> {
        let db = &self.shared.db;
        let family = db.family(RAFT_META)?;
        let mut batch = WriteBatch::default();
        for (name, value) in values {
            let key = key(name);
            batch.put_cf(&family, &key, checked::seal(&key, value));
        }
        db.write(batch, "write the identity")?;
        self.shared.flusher.wait()
    }
}

fn key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

/// The names and values among the meta records, for inspection.
pub(crate) fn name_of(key: &[u8]) -> Option<String> {
    key.strip_prefix(PREFIX).map(|name| String::from_utf8_lossy(name).into_owned())
}
