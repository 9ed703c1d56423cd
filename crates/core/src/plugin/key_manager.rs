//! Where an agent keeps its private keys.

use std::fmt;
use std::sync::Arc;

use super::BoxFuture;
use crate::{KeyType, Secret};

/// Keeps private keys under ids such as `agent-svid-A`.
pub trait KeyManager: Send + Sync {
    /// Makes a key, replacing any under the same id.
    fn generate<'a>(&'a self, id: &'a str, kind: KeyType) -> BoxFuture<'a, Result<PrivateKey, KeyError>>;

    /// Every key held, with its id.
    fn keys(&self) -> BoxFuture<'_, Result<Vec<(String, PrivateKey)>, KeyError>>;
}

/// A private key, or the way to one that nobody is given.
pub enum PrivateKey {
    /// PKCS#8 DER.
    Here(Secret),
    Elsewhere(Arc<dyn KeyElsewhere>),
}

/// A key that signs where it is kept.
pub trait KeyElsewhere: Send + Sync {
    fn kind(&self) -> KeyType;

    /// PKIX DER.
    fn public_key(&self) -> &[u8];

    /// EC P-256 with SHA-256 and EC P-384 with SHA-384, both in DER; RSA with SHA-256. May block for as long as a
    /// signature takes there.
    fn sign(&self, message: &[u8], padding: RsaPadding) -> Result<Vec<u8>, KeyError>;
}

/// EC keys have no use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaPadding {
    /// v1.5, as certificates and requests have it, and TLS 1.2.
    Pkcs1,
    /// With a salt as long as the hash: TLS 1.3 takes no other (RFC 8446, section 4.2.3).
    Pss,
}

impl PrivateKey {
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Here(secret) => Self::Here(secret.duplicate()),
            Self::Elsewhere(key) => Self::Elsewhere(Arc::clone(key)),
        }
    }

    /// `None` for a key that is kept elsewhere.
    pub fn into_secret(self) -> Option<Secret> {
        match self {
            Self::Here(secret) => Some(secret),
            Self::Elsewhere(_) => None,
        }
    }
}

impl From<Secret> for PrivateKey {
    fn from(secret: Secret) -> Self {
        Self::Here(secret)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(secret) => secret.fmt(f),
            Self::Elsewhere(_) => f.write_str("PrivateKey(elsewhere)"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);
