//! Syncs when a simulation says so, in place of the thread that syncs as soon as it can.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::FlushCallback;
use crate::db::Db;
use crate::flusher::flush_for;
use crate::stats::Counters;

/// Goes into [`Options::flush_by_hand`](crate::Options::flush_by_hand) of one store; whoever keeps a clone decides when
/// what was written becomes durable, and is lost if the store is dropped before.
#[derive(Clone)]
pub struct FlushByHand {
    inner: Arc<Inner>,
}

struct Inner {
    wanted: Box<dyn Fn() + Send + Sync>,
    waiting: Mutex<Vec<FlushCallback>>,
    /// Of the store that was opened last.
    store: Mutex<Option<(Weak<Db>, Arc<Counters>)>>,
}

impl FlushByHand {
    /// `wanted` is told of each write that waits for a sync. It must not sync there and then.
    pub fn new(wanted: impl Fn() + Send + Sync + 'static) -> Self {
        let inner = Inner { wanted: Box::new(wanted), waiting: Mutex::default(), store: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// One sync for all that wait, who are then told in order.
    pub fn flush(&self) {
        let Some((db, counters)) = self.inner.store.lock().clone() else { return };
        let Some(db) = db.upgrade() else { return };
        let waiting = std::mem::take(&mut *self.inner.waiting.lock());
        if !waiting.is_empty() {
            flush_for(&db, &counters, waiting);
        }
    }

    pub(crate) fn of(&self, db: &Arc<Db>, counters: &Arc<Counters>) {
        self.inner.waiting.lock().clear();
        *self.inner.store.lock() = Some((Arc::downgrade(db), Arc::clone(counters)));
    }

    pub(crate) fn submit(&self, done: FlushCallback) {
        self.inner.waiting.lock().push(done);
        (self.inner.wanted)();
    }
}
