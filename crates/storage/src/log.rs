//! The Raft log and the vote, in one order.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rocksdb::WriteBatch;

use crate::db::{RAFT_LOG, RAFT_META};
use crate::log_index::{COMMITTED, DELETED, PURGED, VOTE, entries_between, position_of};
use crate::storage::Shared;
use crate::{FailPoint, FlushCallback, LogBounds, LogEntry, Purged, StorageError, checked, record};

/// The longest entry: many packed commands, far below what would stall a follower's heartbeat on a slow link.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;
/// A longer append is written as several batches under one acknowledgement, so RocksDB never sees a giant one.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Entries are deleted in steps of at least this many, since each step leaves a range tombstone that slows reads.
const PURGE_STEP_ENTRIES: u64 = 1_000;
/// After this many tombstones the memtable is written out, where compaction removes them.
const PURGE_STEPS_PER_FLUSH: u64 = 16;

/// The log of this replica.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

impl Log {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes entries that continue the log, or replace its end from their first index on.
    ///
    /// They are readable on return. `Ok`: `done` is called exactly once, in append order, when they are durable or
    /// when that can no longer be. `Err`: `done` was dropped. Blocks while [`FLUSH_QUEUE_MAX`](crate::FLUSH_QUEUE_MAX)
    /// appends wait for the disk.
    ///
    /// # Errors
    /// [`StorageError::OutOfOrder`] and [`StorageError::TooLarge`] wrote nothing; any other is final.
    pub fn append(&self, entries: Vec<LogEntry>, done: FlushCallback) -> Result<(), StorageError> {
        for entry in &entries {
            StorageError::limit("a log entry", entry.bytes.len(), ENTRY_BYTES_MAX)?;
        }
        let db = &self.shared.db;
        let mut index = self.shared.log.lock();
        let replaced_from = index.bounds.admit(&entries)?;
        db.reach(FailPoint::BeforeWalWrite)?;
        let family = db.family(RAFT_LOG)?;
        let mut batch = WriteBatch::default();
        if let (Some(from), Some(last)) = (replaced_from, index.bounds.last) {
            batch.delete_range_cf(&family, record::key(from), record::key(last.index.saturating_add(1)));
        }
        for entry in &entries {
            batch.put_cf(&family, record::key(entry.index), record::encode(entry));
            if batch.size_in_bytes() >= BATCH_BYTES_MAX {
                db.write(std::mem::take(&mut batch), "append to the log")?;
            }
        }
        db.write(batch, "append to the log")?;
        index.bounds.appended(&entries);
        self.shared.counters.entries_appended.fetch_add(entries.len() as u64, Relaxed);
        db.reach(FailPoint::AfterWalWrite)?;
        self.shared.flusher.submit(done)
    }

    /// The entries of `range` that exist, in order: at least one if there is any, then as many as fit `bytes_max`.
    ///
    /// # Errors
    /// [`StorageError::CorruptLogEntry`] and [`StorageError::MissingLogEntry`] name the entry; it is never skipped.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<LogEntry>, StorageError> {
        let db = &self.shared.db;
        // The iterator sees the log as it is now; under the lock no purge comes between its bounds and itself.
        let found = {
            let index = self.shared.log.lock();
            let Some(present) = index.present(&range) else { return Ok(Vec::new()) };
            entries_between(db, present)?
        };
        let mut entries = Vec::new();
        let mut bytes = 0_usize;
        for entry in found {
            let entry = entry?;
            bytes = bytes.saturating_add(entry.bytes.len());
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    pub fn bounds(&self) -> LogBounds {
        self.shared.log.lock().bounds.clone()
    }

    /// Deletes every entry at or after `index`. Not synced: the shared WAL puts it before any later append.
    ///
    /// # Errors
    /// [`StorageError::OutOfOrder`] when `index` was purged: what was purged was committed.
    pub fn truncate_from(&self, from: u64) -> Result<(), StorageError> {
        let db = &self.shared.db;
        let mut index = self.shared.log.lock();
        let floor = index.bounds.floor();
        if from < floor {
            return Err(StorageError::OutOfOrder { expected: floor, found: from });
        }
        let Some((first, last)) = index.bounds.first.zip(index.bounds.last) else { return Ok(()) };
        if from > last.index {
            return Ok(());
        }
        let remaining = match from.checked_sub(1).filter(|before| *before >= first) {
            Some(before) => Some(position_of(db, before)?),
            None => None,
        };
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(&db.family(RAFT_LOG)?, record::key(from), record::key(last.index.saturating_add(1)));
        db.write(batch, "truncate the log")?;
        index.bounds.truncated(remaining);
        Ok(())
    }

    /// Forgets every entry up to and including `index`, whose log id is `id`; nothing happens if that was done before.
    /// `index` may lie beyond the last entry, as it does after a snapshot was installed.
    ///
    /// The marker is written before anything is deleted, and the caller's rows up to `index` were written before it,
    /// so no crash leaves a gap between what the state holds and where the log begins.
    pub fn purge_to(&self, purge: u64, id: Vec<u8>) -> Result<(), StorageError> {
        let db = &self.shared.db;
        let mut index = self.shared.log.lock();
        if purge < index.bounds.floor() {
            return Ok(());
        }
        let marker = [&purge.to_be_bytes()[..], &id].concat();
        let mut batch = WriteBatch::default();
        batch.put_cf(&db.family(RAFT_META)?, PURGED, checked::seal(PURGED, &marker));
        db.write(batch, "mark the log as purged")?;
        index.bounds.purged_to(Purged { index: purge, id });
        db.reach(FailPoint::AfterPurgeMarker)?;
        let floor = index.bounds.floor();
        if floor - index.deleted_below < PURGE_STEP_ENTRIES {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        batch.delete_range_cf(&db.family(RAFT_LOG)?, record::key(index.deleted_below), record::key(floor));
        batch.put_cf(&db.family(RAFT_META)?, DELETED, checked::seal(DELETED, &floor.to_be_bytes()));
        db.write(batch, "delete purged entries")?;
        index.deleted_below = floor;
        index.purge_steps += 1;
        if index.purge_steps.is_multiple_of(PURGE_STEPS_PER_FLUSH) {
            db.flush_family(RAFT_LOG, false)?;
        }
        Ok(())
    }

    /// Durable on return, and never after an append that was made later.
    pub fn save_vote(&self, vote: Vec<u8>) -> Result<(), StorageError> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.save_vote_then(
            vote,
            Box::new(move |result| {
                // The receiver waits below for as long as the sender exists.
                let _ = answer.send(result);
            }),
        )?;
        answered.recv().unwrap_or_else(|_| Err(self.shared.db.health.fail(StorageError::Stopped)))
    }

    /// Like [`Log::save_vote`] without blocking: `done` is called when the vote is durable, under the rules of
    /// [`Log::append`].
    pub fn save_vote_then(&self, vote: Vec<u8>, done: FlushCallback) -> Result<(), StorageError> {
        let db = &self.shared.db;
        let _order = self.shared.log.lock();
        db.reach(FailPoint::BeforeVoteWrite)?;
        self.put_meta(VOTE, &vote, "save the vote")?;
        self.shared.flusher.submit(done)
    }

    pub fn vote(&self) -> Result<Option<Vec<u8>>, StorageError> {
        self.shared.db.get_checked(RAFT_META, VOTE)
    }

    /// Best effort: survives a killed process, and a power cut once something later was flushed. Losing it costs a
    /// wait for the leader, an fsync for it would cost a third of the throughput.
    pub fn save_committed(&self, committed: Vec<u8>) -> Result<(), StorageError> {
        self.put_meta(COMMITTED, &committed, "save the committed index")
    }

    pub fn committed(&self) -> Result<Option<Vec<u8>>, StorageError> {
        self.shared.db.get_checked(RAFT_META, COMMITTED)
    }

    fn put_meta(&self, key: &'static [u8], value: &[u8], action: &'static str) -> Result<(), StorageError> {
        let db = &self.shared.db;
        let mut batch = WriteBatch::default();
        batch.put_cf(&db.family(RAFT_META)?, key, checked::seal(key, value));
        db.write(batch, action)
    }
}
