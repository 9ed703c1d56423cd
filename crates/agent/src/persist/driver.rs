//! Keeps the file up to date.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use steeple_core::{Secret, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::file::PersistError;
use super::{PersistedFile, Seal};
use crate::cache::{Cache, RotationRule};

/// The seal of the agent's present key, which the identity changes and the driver uses.
#[derive(Clone)]
pub struct SealSlot {
    /// Locked while it is written, so that nothing is written after the agent is forgotten.
    file: Arc<Mutex<PersistedFile>>,
    seal: watch::Sender<Option<Arc<Seal>>>,
}

impl SealSlot {
    pub fn new(file: PersistedFile) -> Self {
        Self { file: Arc::new(Mutex::new(file)), seal: watch::Sender::new(None) }
    }

    /// Fills the cache with what the file has. Whether there is something to serve; why not is told in the log.
    pub fn restore(&self, agent_keys: &[Secret], cache: &Cache, rotation: RotationRule, now: Timestamp) -> bool {
        match self.file.lock().restore(agent_keys, cache, rotation, now) {
            Ok(None) => false,
            Ok(Some(svids)) => {
                tracing::info!(svids, "Persisted SVIDs loaded");
                true
            }
            Err(error) => {
                tracing::warn!(%error, "Persisted SVIDs cannot be used; starting without them");
                false
            }
        }
    }

    /// The agent has another key.
    pub fn replace(&self, agent_key: &Secret) {
        match Seal::of(agent_key) {
            Ok(seal) => _ = self.seal.send_replace(Some(Arc::new(seal))),
            Err(error) => tracing::warn!(%error, "SVIDs are not persisted any more"),
        }
    }

    /// The agent is nobody any more, and what it served goes with it.
    pub fn forget(&self) {
        let file = self.file.lock();
        self.seal.send_replace(None);
        if let Err(error) = file.remove() {
            tracing::warn!(%error, "Persisted SVIDs cannot be removed");
        }
    }

    fn store(&self, cache: &Cache) -> Result<(), PersistError> {
        let file = self.file.lock();
        let seal = self.seal.borrow().clone();
        seal.map_or(Ok(()), |seal| file.store(cache, &seal))
    }
}

pub struct PersistDriver {
    pub slot: SealSlot,
    pub cache: Arc<Cache>,
}

impl PersistDriver {
    /// Runs until `stop`, and writes once more then.
    pub async fn run(self, stop: CancellationToken) {
        let (mut changes, mut seals) = (self.cache.changes(), self.slot.seal.subscribe());
        changes.mark_changed();
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                Ok(()) = changes.changed() => false,
                Ok(()) = seals.changed() => false,
            };
            // Changes that come together are written together.
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(GATHER) => {}
            }
            changes.mark_unchanged();
            seals.mark_unchanged();
            self.write().await;
            if stopped {
                return;
            }
        }
    }

    /// A failure is told, and the next change is another chance.
    async fn write(&self) {
        let (slot, cache) = (self.slot.clone(), Arc::clone(&self.cache));
        let written = tokio::task::spawn_blocking(move || slot.store(&cache)).await;
        match written {
            Ok(Ok(())) => tracing::debug!("SVIDs persisted"),
            Ok(Err(error)) => tracing::warn!(%error, "SVIDs cannot be persisted"),
            Err(error) => tracing::warn!(%error, "SVIDs cannot be persisted"),
        }
    }
}

const GATHER: Duration = Duration::from_secs(1);
