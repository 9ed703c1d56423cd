//! The first failure is the last: whoever asks after it is told why nothing is accepted any more.

use std::sync::{Arc, OnceLock};

use crate::{FatalHook, StorageError};

pub(crate) struct Health {
    cause: OnceLock<Arc<StorageError>>,
    on_fatal: FatalHook,
}

impl Health {
    pub(crate) fn new(on_fatal: FatalHook) -> Self {
        Self { cause: OnceLock::new(), on_fatal }
    }

    pub(crate) fn check(&self) -> Result<(), StorageError> {
        match self.cause.get() {
            Some(cause) => Err(StorageError::Failed { cause: Arc::clone(cause) }),
            None => Ok(()),
        }
    }

    /// Records the first failure, tells the hook once, and returns what every caller gets from now on.
    pub(crate) fn fail(&self, error: StorageError) -> StorageError {
        let mut first = false;
        let cause = self.cause.get_or_init(|| {
            first = true;
            Arc::new(error)
        });
        if first {
            (self.on_fatal)(cause);
        }
        StorageError::Failed { cause: Arc::clone(cause) }
    }
}
