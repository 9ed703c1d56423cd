//! Keeps the history of this replica, and wakes whoever follows it.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::history::History;
use crate::raft::{AppliedEvents, Replica};

/// Each is a task and two messages. Controllers are few; what is beyond this is a client that leaks streams.
const WATCHES_MAX: usize = 256;

/// The history of one replica, shared by all who follow it.
pub struct Feed {
    history: Mutex<History>,
    /// The log index that the history knows.
    known_through: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

impl Feed {
    /// Begins with what `replica` applies from now on. The future keeps it up until `stop`.
    pub fn of(replica: &Replica, stop: CancellationToken) -> (Arc<Self>, impl Future<Output = ()> + use<>) {
        let (replica, events) = (replica.clone(), replica.events());
        // After the subscription: what is applied in between comes as an event, which then is skipped.
        let index = *replica.applied().borrow();
        let feed = Arc::new(Self {
            history: Mutex::new(History::beginning_after(index)),
            known_through: watch::Sender::new(index),
            places: Arc::new(Semaphore::new(WATCHES_MAX)),
        });
        (Arc::clone(&feed), feed.follow(replica, events, stop))
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock()
    }

    /// Changes with the history.
    pub fn known_through(&self) -> watch::Receiver<u64> {
        self.known_through.subscribe()
    }

    /// A place for one more who follows; none when there are too many.
    pub fn place(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    async fn follow(
        self: Arc<Self>,
        replica: Replica,
        mut events: broadcast::Receiver<Arc<AppliedEvents>>,
        stop: CancellationToken,
    ) {
        loop {
            let applied = tokio::select! {
                () = stop.cancelled() => return,
                applied = events.recv() => applied,
            };
            match applied {
                Ok(applied) if applied.replaced => self.history().begin_anew(applied.index),
                Ok(applied) => self.history().record(&applied),
                Err(RecvError::Lagged(_)) => {
                    // What is still in the channel is older than this, and is skipped.
                    let index = *replica.applied().borrow();
                    self.history().begin_anew(index);
                }
                Err(RecvError::Closed) => return,
            }
            let index = self.history().known_through();
            self.known_through.send_replace(index);
        }
    }
}
