//! What guards a server's sealing key: hardware, a service or a passphrase.

use std::path::PathBuf;

use super::BoxFuture;
use crate::Secret;

/// Wraps the sealing key when it is made and opens it at every start.
pub trait Seal: Send + Sync {
    /// As in the configuration, for instance `transit`; stored beside what was wrapped.
    fn kind(&self) -> &'static str;

    /// `associated` is bound to the result without being hidden.
    fn wrap<'a>(&'a self, key: &'a Secret, associated: &'a [u8]) -> BoxFuture<'a, Result<Vec<u8>, SealFailure>>;

    /// The file that its passphrase, PIN or token comes from. Asking again is of use once it has changed.
    fn secret_path(&self) -> Option<PathBuf> {
        None
    }

    /// Fails for what another seal wrapped, or for something else.
    fn unwrap<'a>(&'a self, wrapped: &'a [u8], associated: &'a [u8]) -> BoxFuture<'a, Result<Secret, SealFailure>>;
}

/// A seal did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealFailure {
    /// It may in a while, without this server being changed.
    #[error("{0}")]
    NotNow(String),
    #[error("{0}")]
    Refused(String),
}

/// Where a passphrase, PIN or token is read from, each time that it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The name of one that systemd passed to this service (`LoadCredential=`, `SetCredentialEncrypted=`).
    Credential(String),
    Environment(String),
    File(PathBuf),
}

impl SealFailure {
    pub fn not_now(message: impl Into<String>) -> Self {
        Self::NotNow(message.into())
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }
}
