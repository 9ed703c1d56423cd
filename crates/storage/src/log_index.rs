//! What the log in the database amounts to: read once at the start, kept beside it afterwards.

use std::ops::Range;

use rocksdb::{Direction, IteratorMode, ReadOptions};

use crate::db::{Db, RAFT_LOG, RAFT_META};
use crate::{LogBounds, LogEntry, LogPosition, Purged, StorageError, record};

pub(crate) const VOTE: &[u8] = b"vote";
pub(crate) const COMMITTED: &[u8] = b"committed";
/// The purge marker: an index, then the caller's log id.
pub(crate) const PURGED: &[u8] = b"purged";
/// How far purged entries are deleted.
pub(crate) const DELETED: &[u8] = b"deleted";

/// What the log holds, kept in memory beside the database.
pub(crate) struct LogIndex {
    pub(crate) bounds: LogBounds,
    /// Entries below are deleted; those from here up to the purge marker still lie in the database, unseen.
    pub(crate) deleted_below: u64,
    pub(crate) purge_steps: u64,
}

impl LogIndex {
    /// Reads the whole log once: a damaged or missing entry stops the start.
    pub(crate) fn load(db: &Db) -> Result<Self, StorageError> {
        let purged = db.get_checked(RAFT_META, PURGED)?.map(|marker| parse_purged(&marker)).transpose()?;
        let deleted_below = match db.get_checked(RAFT_META, DELETED)? {
            Some(stored) => parse_index(DELETED, &stored)?,
            None => 0,
        };
        let bounds = scan(db, purged)?;
        Ok(Self { bounds, deleted_below, purge_steps: 0 })
    }

    /// The part of `range` that the log holds.
    pub(crate) fn present(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let (first, last) = self.bounds.first.zip(self.bounds.last)?;
        let present = range.start.max(first)..range.end.min(last.index.saturating_add(1));
        (!present.is_empty()).then_some(present)
    }
}

/// Reads every entry above the purge marker and returns the bounds of the log.
fn scan(db: &Db, purged: Option<Purged>) -> Result<LogBounds, StorageError> {
    let mut bounds = LogBounds { purged, ..LogBounds::default() };
    let floor = record::key(bounds.floor());
    let family = db.family(RAFT_LOG)?;
    for item in db.rocks().iterator_cf(&family, IteratorMode::From(&floor, Direction::Forward)) {
        let (key, value) = item.map_err(|error| db.unreadable(&error))?;
        let entry = record::decode(record::index_of(&key)?, &value)?;
        if let Some(index) = bounds.next()
            && entry.index != index
        {
            return Err(StorageError::MissingLogEntry { index });
        }
        bounds.appended(std::slice::from_ref(&entry));
    }
    Ok(bounds)
}

/// The entries of a range that is known to be present; the first one that is not ends the iteration with an error.
pub(crate) fn entries_between(
    db: &Db,
    range: Range<u64>,
) -> Result<impl Iterator<Item = Result<LogEntry, StorageError>> + '_, StorageError> {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(record::key(range.start).to_vec());
    options.set_iterate_upper_bound(record::key(range.end).to_vec());
    let mut items = db.rocks().iterator_cf_opt(&db.family(RAFT_LOG)?, options, IteratorMode::Start);
    Ok(range.map(move |index| {
        let Some(item) = items.next() else { return Err(StorageError::MissingLogEntry { index }) };
        let (key, value) = item.map_err(|error| db.unreadable(&error))?;
        if record::index_of(&key)? != index {
            return Err(StorageError::MissingLogEntry { index });
        }
        record::decode(index, &value)
    }))
}

pub(crate) fn position_of(db: &Db, index: u64) -> Result<LogPosition, StorageError> {
    let value = db.get(RAFT_LOG, &record::key(index))?.ok_or(StorageError::MissingLogEntry { index })?;
    Ok(LogPosition { index, term: record::decode(index, &value)?.term })
}

pub(crate) fn parse_purged(marker: &[u8]) -> Result<Purged, StorageError> {
    let (index, id) = marker.split_at_checked(8).ok_or_else(|| too_short(PURGED))?;
    Ok(Purged { index: parse_index(PURGED, index)?, id: id.to_vec() })
}

fn parse_index(key: &[u8], stored: &[u8]) -> Result<u64, StorageError> {
    stored.try_into().map(u64::from_be_bytes).map_err(|_| too_short(key))
}

fn too_short(key: &[u8]) -> StorageError {
    StorageError::Corrupt {
        what: format!("the stored value {:?}", String::from_utf8_lossy(key)),
        detail: "wrong length".to_owned(),
    }
}
