//! Who syncs the WAL and acknowledges, in the order in which the writes were made: one thread, or a simulation by hand.
//!
//! Everything that was submitted while a sync was running shares the next one. After a failed sync every waiter, now
//! and later, gets the same error: what the page cache holds can no longer be told from what the disk holds.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::db::Db;
use crate::flush_by_hand::FlushByHand;
use crate::stats::Counters;
use crate::{FailPoint, StorageError};

/// Appends that may wait for a flush before the next one blocks.
///
/// Blocking is the backpressure: an append that returned "busy" would be a storage failure to Raft, which would stop
/// the node because its disk is slow. At one flush of 2 ms for all waiters the queue is never near this.
pub const FLUSH_QUEUE_MAX: usize = 4_096;

/// Told once that a write is durable, or that it never will be known to be.
///
/// Runs on the flusher's thread: it must be quick and must not call back into storage.
pub type FlushCallback = Box<dyn FnOnce(Result<(), StorageError>) + Send>;

pub(crate) struct Flusher {
    queue: Queue,
    db: Arc<Db>,
    counters: Arc<Counters>,
}

enum Queue {
    Thread(Option<SyncSender<FlushCallback>>, Option<JoinHandle<()>>),
    Hand(FlushByHand),
}

impl Flusher {
    pub(crate) fn start(
        db: Arc<Db>,
        counters: Arc<Counters>,
        by_hand: Option<FlushByHand>,
    ) -> Result<Self, StorageError> {
        if let Some(hand) = by_hand {
            hand.of(&db, &counters);
            return Ok(Self { queue: Queue::Hand(hand), db, counters });
        }
        let (queue, submitted) = sync_channel(FLUSH_QUEUE_MAX);
        let (thread_db, thread_counters) = (Arc::clone(&db), Arc::clone(&counters));
        let thread = thread::Builder::new()
            .name("storage-flush".to_owned())
            .spawn(move || run(&thread_db, &thread_counters, &submitted))
            .map_err(|error| StorageError::io("start the flush thread of", db.path(), &error))?;
        Ok(Self { queue: Queue::Thread(Some(queue), Some(thread)), db, counters })
    }

    /// Acknowledges all that was written before this call. Blocks while [`FLUSH_QUEUE_MAX`] others wait; callers that
    /// care about order hold their lock from the write to here.
    pub(crate) fn submit(&self, done: FlushCallback) -> Result<(), StorageError> {
        let queue = match &self.queue {
            Queue::Thread(queue, _) => queue.as_ref().ok_or(StorageError::Stopped)?,
            Queue::Hand(hand) => {
                hand.submit(done);
                return Ok(());
            }
        };
        self.counters.flush_queue_len.fetch_add(1, Relaxed);
        queue.send(done).map_err(|_| {
            self.counters.flush_queue_len.fetch_sub(1, Relaxed);
            // Only a panic in a callback ends the thread early; nothing can be acknowledged after that.
            self.db.health.fail(StorageError::Stopped)
        })
    }

    /// Blocks until all that was written before this call is durable.
    pub(crate) fn wait(&self) -> Result<(), StorageError> {
        let (answer, answered) = sync_channel(1);
        self.submit(Box::new(move |result| {
            // The receiver waits below for as long as the sender exists.
            let _ = answer.send(result);
        }))?;
        if let Queue::Hand(hand) = &self.queue {
            // Who waits on the simulation's one thread waits for nobody.
            hand.flush();
        }
        answered.recv().unwrap_or_else(|_| Err(self.db.health.fail(StorageError::Stopped)))
    }
}

impl Drop for Flusher {
    /// Serves those who still wait, then ends the thread. What waits for a hand is lost, as in a crash.
    fn drop(&mut self) {
        let Queue::Thread(queue, thread) = &mut self.queue else { return };
        *queue = None;
        // A callback may own the last handle of the store, and a thread cannot wait for itself.
        if let Some(thread) = thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

fn run(db: &Db, counters: &Counters, submitted: &Receiver<FlushCallback>) {
    while let Ok(first) = submitted.recv() {
        let mut waiting = vec![first];
        waiting.extend(submitted.try_iter().take(FLUSH_QUEUE_MAX));
        counters.flush_queue_len.fetch_sub(waiting.len() as u64, Relaxed);
        flush_for(db, counters, waiting);
    }
}

/// One sync for all of `waiting`.
pub(crate) fn flush_for(db: &Db, counters: &Counters, waiting: Vec<FlushCallback>) {
    let result = flush(db, counters);
    for done in waiting {
        done(result.clone());
    }
}

fn flush(db: &Db, counters: &Counters) -> Result<(), StorageError> {
    db.health.check()?;
    db.reach(FailPoint::BeforeFlush)?;
    let begun = Instant::now();
    counters.flush_begins();
    let synced = db.sync_wal();
    counters.flush_ended();
    synced?;
    counters.flushed(begun.elapsed());
    db.reach(FailPoint::AfterFlush)
}
