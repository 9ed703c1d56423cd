//! The sealing key of a running server: there from the start, or as soon as its seal opens the right one. While a new
//! one is on its way there are two, and the keyring says which is in force.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use steeple_ca::seal::{SealError, SealedKeyring, SealingKey};
use steeple_state::State;
use tokio::sync::watch;

use super::new_key::KeptKeys;

/// Shared by whoever opens the key and by all that need it.
#[derive(Clone)]
pub struct KeyInUse {
    keys: Arc<watch::Sender<Keys>>,
    told: Arc<Mutex<KeysTold>>,
    /// Of the file, for messages.
    path: Arc<Path>,
}

enum Keys {
    /// A sentence for operators.
    Sealed(String),
    /// At least one, the one in the file first; two while another one takes its place.
    Open(Vec<Arc<SealingKey>>),
}

/// What this replica tells others of its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysTold {
    /// Those that it can open.
    pub kept: KeptKeys,
    /// Why it does not keep the key that is offered; empty when it does, or did not try.
    pub problem: String,
}

/// What needs the key is not done here for now; other replicas do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is sealed: {why}")]
pub struct ServerSealed {
    why: String,
}

impl KeyInUse {
    pub fn open(key: Arc<SealingKey>, path: &Path) -> Self {
        Self::of_keys(Keys::Open(vec![key]), path)
    }

    pub fn sealed(why: String, path: &Path) -> Self {
        Self::of_keys(Keys::Sealed(why), path)
    }

    fn of_keys(keys: Keys, path: &Path) -> Self {
        Self { keys: Arc::new(watch::Sender::new(keys)), told: Arc::default(), path: path.into() }
    }

    pub fn check(&self) -> Result<(), ServerSealed> {
        self.first().map(drop)
    }

    /// The one in the file, for a server that has no keyring yet.
    pub fn first(&self) -> Result<Arc<SealingKey>, ServerSealed> {
        match &*self.keys.borrow() {
            Keys::Open(keys) => keys.first().cloned().ok_or_else(|| ServerSealed { why: "it has no key".to_owned() }),
            Keys::Sealed(why) => Err(ServerSealed { why: why.clone() }),
        }
    }

    /// The one that opens the keyring of `state`; another one, whose name the keyring will refuse, where none does.
    pub fn of(&self, state: &State) -> Result<Arc<SealingKey>, ServerSealed> {
        let first = self.first()?;
        let keyring = state.keyring().and_then(|sealed| SealedKeyring::decode(&sealed.content).ok());
        Ok(keyring.and_then(|keyring| self.named(keyring.sealing_key_id())).unwrap_or(first))
    }

    pub fn named(&self, id: &str) -> Option<Arc<SealingKey>> {
        match &*self.keys.borrow() {
            Keys::Open(keys) => keys.iter().find(|key| is_named(key, id)).cloned(),
            Keys::Sealed(_) => None,
        }
    }

    pub fn is_sealed(&self) -> bool {
        matches!(&*self.keys.borrow(), Keys::Sealed(_))
    }

    /// Returns at once while the key is there.
    pub async fn until_open(&self) {
        // The sender lives as long as this.
        let _ = self.keys.subscribe().wait_for(|keys| matches!(keys, Keys::Open(_))).await;
    }

    pub fn seal(&self, why: String) {
        self.keys.send_replace(Keys::Sealed(why));
    }

    /// What the files gave does not open the cluster's keyring.
    pub fn refuse(&self, error: &SealError) {
        self.seal(format!("{}: {error}", self.path.display()));
    }

    /// One of `keys` opens the cluster's keyring.
    pub fn unseal(&self, keys: Vec<Arc<SealingKey>>) {
        if !keys.is_empty() {
            self.keys.send_replace(Keys::Open(keys));
        }
    }

    /// Has `key` beside those that are there. A sealed server stays sealed.
    pub fn hold(&self, key: Arc<SealingKey>) {
        self.keys.send_if_modified(|keys| match keys {
            Keys::Open(keys) if !key.id().is_ok_and(|id| keys.iter().any(|held| is_named(held, &id))) => {
                keys.push(Arc::clone(&key));
                true
            }
            _ => false,
        });
    }

    /// Wipes every other key, if that one is there.
    pub fn hold_only(&self, id: &str) {
        self.keys.send_if_modified(|keys| match keys {
            Keys::Open(keys) if keys.len() > 1 && keys.iter().any(|key| is_named(key, id)) => {
                keys.retain(|key| is_named(key, id));
                true
            }
            _ => false,
        });
    }

    pub fn told(&self) -> KeysTold {
        self.told.lock().clone()
    }

    pub fn tell(&self, told: KeysTold) {
        *self.told.lock() = told;
    }
}

impl KeysTold {
    pub fn ids(&self) -> impl Iterator<Item = &String> {
        [&self.kept.current, &self.kept.next].into_iter().flatten()
    }
}

fn is_named(key: &SealingKey, id: &str) -> bool {
    key.id().is_ok_and(|own| own == id)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;

    use super::*;

    fn key() -> Arc<SealingKey> {
        Arc::new(SealingKey::generate(&SystemRandom::new()).unwrap())
    }

    #[test]
    fn two_keys_are_held_while_one_replaces_the_other() {
        let (old, new) = (key(), key());
        let (old_id, new_id) = (old.id().unwrap(), new.id().unwrap());
        let keys = KeyInUse::open(Arc::clone(&old), Path::new("key"));
        keys.hold(Arc::clone(&new));
        keys.hold(Arc::clone(&new));
        assert!(keys.named(&old_id).is_some() && keys.named(&new_id).is_some());
        assert_eq!(keys.first().unwrap().id(), old.id());
        keys.hold_only("0123456789abcdef");
        assert!(keys.named(&old_id).is_some(), "the last key is never given up for one that is not there");
        keys.hold_only(&new_id);
        assert!(keys.named(&old_id).is_none());
        assert_eq!(keys.first().unwrap().id(), new.id());

        keys.seal("lost".to_owned());
        keys.hold(old);
        assert!(keys.is_sealed() && keys.named(&old_id).is_none());
        assert_eq!(keys.check().unwrap_err().to_string(), "the server is sealed: lost");
        keys.unseal(vec![new]);
        assert!(keys.check().is_ok());
    }
}
