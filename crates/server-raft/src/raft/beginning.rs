//! What a data directory remembers of the restore or recovery that made it the first member of a new cluster: who did
//! it, and from where. It goes into the first audit record.

use std::fmt;

use serde::{Deserialize, Serialize};
use steeple_core::Timestamp;
use steeple_state::Uuid;
use steeple_storage::{Storage, StorageError};

use super::error::StartError;

const BEGINNING: &str = "beginning";

/// How a cluster began anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// `recover apply` or `restore`.
    pub by: String,
    /// The user who ran it.
    pub uid: u32,
    pub at_ms: i64,
    /// The earlier cluster.
    pub cluster_uuid: Uuid,
    /// The last index of its log that the new state stands on.
    pub index: u64,
    /// Of the backup; empty for a recovery.
    pub backup_id: String,
}

/// `None` of a directory that founded or joined its cluster, and of one that an earlier release restored.
pub fn beginning(storage: &Storage) -> Result<Option<Beginning>, StartError> {
    let Some(stored) = storage.identity().get(BEGINNING)? else { return Ok(None) };
    // It is for people: what cannot be read keeps no server from starting.
    Ok(serde_json::from_slice(&stored).ok())
}

pub(super) fn remember(storage: &Storage, beginning: &Beginning) -> Result<(), StorageError> {
    let record = serde_json::to_vec(beginning).unwrap_or_default();
    storage.identity().put(BEGINNING, &record)
}

impl fmt::Display for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, uid, at_ms, cluster_uuid, index, .. } = self;
        let at = Timestamp::from_ms(*at_ms);
        let earlier = uuid::Uuid::from_bytes(*cluster_uuid);
        write!(f, "`{by}` by user {uid} at {at}, from cluster {earlier} up to log index {index}")
    }
}
