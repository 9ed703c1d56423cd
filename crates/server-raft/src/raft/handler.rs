//! What the rest of the server does for the consensus, once that is there.

use std::sync::Arc;

use parking_lot::RwLock;

pub(super) struct Handler<T: ?Sized>(RwLock<Option<Arc<T>>>);

impl<T: ?Sized> Handler<T> {
    pub(super) fn get(&self) -> Option<Arc<T>> {
        self.0.read().clone()
    }

    /// A second one would be a defect of the program's start; the first one stays.
    pub(super) fn set(&self, handler: Arc<T>) {
        self.0.write().get_or_insert(handler);
    }

    /// Handlers know the replica that knows them.
    pub(super) fn forget(&self) {
        self.0.write().take();
    }
}

impl<T: ?Sized> Default for Handler<T> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}
