//! What the state machine shows to the rest of the server: the state, how far it is, and what changed.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use steeple_state::{Event, State, StateHash};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::replica::{AppliedEvents, EVENTS_QUEUE_MAX};
use super::state_check::{CHECKPOINTS_MAX, Checkpoint};
use super::state_lock::SharedState;

pub(super) struct Published {
    pub(super) state: SharedState,
    /// The index up to which `state` is complete and stored.
    pub(super) applied: watch::Sender<u64>,
    pub(super) events: broadcast::Sender<Arc<AppliedEvents>>,
    /// The state's hash at an applied index; `state` itself may be one entry ahead of `applied` for an instant.
    hashed: Mutex<(u64, StateHash)>,
    /// The latest places at which replicas compare, oldest first.
    checkpoints: Mutex<VecDeque<Checkpoint>>,
}

impl Published {
    pub(super) fn new(state: State, applied: u64) -> Self {
        Self {
            hashed: Mutex::new((applied, state.hash())),
            state: SharedState::new(state),
            applied: watch::Sender::new(applied),
            events: broadcast::Sender::new(EVENTS_QUEUE_MAX),
            checkpoints: Mutex::default(),
        }
    }

    pub(super) fn hash(&self) -> (u64, StateHash) {
        *self.hashed.lock()
    }

    /// Oldest first; empty until the first one since the start, or since a snapshot.
    pub(super) fn checkpoints(&self) -> Vec<Checkpoint> {
        self.checkpoints.lock().iter().copied().collect()
    }

    /// The entry that is about to be published is one.
    pub(super) fn checkpoint(&self, checkpoint: Checkpoint) {
        let mut checkpoints = self.checkpoints.lock();
        checkpoints.push_back(checkpoint);
        if checkpoints.len() > CHECKPOINTS_MAX {
            checkpoints.pop_front();
        }
    }

    /// An entry has been applied and stored.
    pub(super) fn advance(&self, index: u64, hash: StateHash, events: Vec<Event>) {
        *self.hashed.lock() = (index, hash);
        self.applied.send_replace(index);
        if !events.is_empty() {
            // No receiver is no error: drivers come and go.
            let _ = self.events.send(Arc::new(AppliedEvents { index, at: Instant::now(), events, replaced: false }));
        }
    }

    /// A snapshot took the place of everything.
    pub(super) fn replace(&self, state: State, index: u64) {
        *self.hashed.lock() = (index, state.hash());
        self.checkpoints.lock().clear();
        *self.state.write() = state;
        self.applied.send_replace(index);
        let _ =
            self.events.send(Arc::new(AppliedEvents { index, at: Instant::now(), events: Vec::new(), replaced: true }));
    }
}
