//! openraft's log over `storage::Log`.
//!
//! Reads and appends touch RocksDB's memory or block cache and run where they are called; what waits for the disk (vote
//! and flush) is answered by the one flusher of the storage, in the order in which it was submitted.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

use openraft::OptionalSend;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use steeple_api::steeple::peer as pb;
use steeple_state::limits::COMMANDS_BYTES_MAX;
use steeple_storage::{Log, LogEntry};
use tokio::sync::oneshot;

use super::codec;
use super::types::{Entry, LogId, TypeConfig, Vote};
use crate::peer::MESSAGE_BYTES_MAX;

/// Bytes of entries that one AppendEntries carries, unless its first entry alone is larger.
const REPLICATION_BYTES_MAX: usize = 4 * 1024 * 1024;
// One entry of the largest size fits into a message, and so do several smaller ones.
const _: () = assert!(2 * COMMANDS_BYTES_MAX <= MESSAGE_BYTES_MAX && REPLICATION_BYTES_MAX < MESSAGE_BYTES_MAX);
/// Bytes read from disk at once when a whole range is asked for.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Clone)]
pub(super) struct LogStore {
    log: Log,
}

impl LogStore {
    pub(super) fn new(log: Log) -> Self {
        Self { log }
    }

    fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, io::Error> {
        self.log.read(range, bytes_max).map_err(io::Error::other)?.iter().map(decode).collect()
    }

    fn last_log_id(&self) -> Result<Option<LogId>, io::Error> {
        let Some(last) = self.log.bounds().last else { return Ok(None) };
        let entries = self.read(last.index..last.index + 1, READ_BYTES_MAX)?;
        Ok(entries.last().map(RaftEntry::log_id))
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let mut range = self.existing(&range);
        let mut entries = Vec::new();
        while !range.is_empty() {
            let part = self.read(range.clone(), READ_BYTES_MAX)?;
            let Some(last) = part.last() else { break };
            range.start = last.log_id().index() + 1;
            entries.extend(part);
        }
        Ok(entries)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, REPLICATION_BYTES_MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let Some(record) = self.log.vote().map_err(io::Error::other)? else { return Ok(None) };
        let vote: pb::Vote = codec::from_record(&record)?;
        Ok(Some(codec::vote_from_pb(&vote)))
    }
}

impl LogStore {
    /// The part of `range` that the log holds.
    fn existing(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let bounds = self.log.bounds();
        let (Some(first), Some(last)) = (bounds.first, bounds.last) else { return 0..0 };
        let start = match range.start_bound() {
            Bound::Included(&index) => index,
            Bound::Excluded(&index) => index + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&index) => index.saturating_add(1),
            Bound::Excluded(&index) => index,
            Bound::Unbounded => u64::MAX,
        };
        start.max(first)..end.min(last.index + 1)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let purged = match self.log.bounds().purged {
            Some(purged) => Some(codec::log_id_from_pb(&codec::from_record(&purged.id)?)),
            None => None,
        };
        let last = self.last_log_id()?.or(purged);
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let (done, durable) = oneshot::channel();
        let record = codec::to_record(&codec::vote_to_pb(vote));
        self.log.save_vote_then(record, Box::new(move |result| drop(done.send(result)))).map_err(io::Error::other)?;
        match durable.await {
            Ok(result) => result.map_err(io::Error::other),
            Err(_) => Err(io::Error::other("storage stopped before the vote was durable")),
        }
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed else { return Ok(()) };
        self.log.save_committed(codec::to_record(&codec::log_id_to_pb(&committed))).map_err(io::Error::other)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        let Some(record) = self.log.committed().map_err(io::Error::other)? else { return Ok(None) };
        Ok(Some(codec::log_id_from_pb(&codec::from_record(&record)?)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| encode(&entry)).collect();
        let done = move |result: Result<(), steeple_storage::StorageError>| {
            callback.io_completed(result.map_err(io::Error::other));
        };
        self.log.append(entries, Box::new(done)).map_err(io::Error::other)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = last_log_id.map_or(0, |id| id.index() + 1);
        self.log.truncate_from(from).map_err(io::Error::other)
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let record = codec::to_record(&codec::log_id_to_pb(&log_id));
        self.log.purge_to(log_id.index(), record).map_err(io::Error::other)
    }
}

fn encode(entry: &Entry) -> LogEntry {
    let log_id = entry.log_id();
    LogEntry {
        index: log_id.index(),
        term: log_id.committed_leader_id().term,
        bytes: codec::to_record(&codec::entry_to_pb(entry)),
    }
}

fn decode(stored: &LogEntry) -> Result<Entry, io::Error> {
    Ok(codec::entry_from_pb(codec::from_record(&stored.bytes)?)?)
}
