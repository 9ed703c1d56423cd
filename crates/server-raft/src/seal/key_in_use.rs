//! The sealing key of a running server: there from the start, or as soon as its seal opens the right one.

use std::path::Path;
use std::sync::Arc;

use steeple_ca::seal::{SealError, SealingKey};
use tokio::sync::watch;

/// Shared by whoever opens the key and by all that need it. Once open it stays open until the server ends.
#[derive(Clone)]
pub struct KeyInUse {
    key: Arc<watch::Sender<Key>>,
    /// Its file, for messages.
    path: Arc<Path>,
}

enum Key {
    /// A sentence for operators.
    Sealed(String),
    Open(Arc<SealingKey>),
}

/// What needs the key is not done here for now; other replicas do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is sealed: {why}")]
pub struct ServerSealed {
    why: String,
}

impl KeyInUse {
    pub fn open(key: Arc<SealingKey>, path: &Path) -> Self {
        Self { key: Arc::new(watch::Sender::new(Key::Open(key))), path: path.into() }
    }

    pub fn sealed(why: String, path: &Path) -> Self {
        Self { key: Arc::new(watch::Sender::new(Key::Sealed(why))), path: path.into() }
    }

    pub fn get(&self) -> Result<Arc<SealingKey>, ServerSealed> {
        match &*self.key.borrow() {
            Key::Sealed(why) => Err(ServerSealed { why: why.clone() }),
            Key::Open(key) => Ok(Arc::clone(key)),
        }
    }

    pub fn is_sealed(&self) -> bool {
        matches!(&*self.key.borrow(), Key::Sealed(_))
    }

    /// Returns at once while the key is there.
    pub async fn until_open(&self) {
        // The sender lives as long as this.
        let _ = self.key.subscribe().wait_for(|key| matches!(key, Key::Open(_))).await;
    }

    pub fn seal(&self, why: String) {
        self.key.send_replace(Key::Sealed(why));
    }

    /// What the file gave does not open the cluster's keyring.
    pub fn refuse(&self, error: &SealError) {
        self.seal(format!("{}: {error}", self.path.display()));
    }

    /// `key` opens the cluster's keyring.
    pub fn unseal(&self, key: SealingKey) {
        self.key.send_replace(Key::Open(Arc::new(key)));
    }
}
