//! Where an agent keeps its private keys.

use super::BoxFuture;
use crate::{KeyType, Secret};

/// Keeps private keys under ids such as `agent-svid-A`. Keys are PKCS#8 DER.
pub trait KeyManager: Send + Sync {
    /// Makes a key, replacing any under the same id, and returns its PKCS#8 DER.
    fn generate<'a>(&'a self, id: &'a str, kind: KeyType) -> BoxFuture<'a, Result<Secret, KeyError>>;

    /// Every key held, as (id, PKCS#8 DER).
    fn keys(&self) -> BoxFuture<'_, Result<Vec<(String, Secret)>, KeyError>>;
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);
