//! The sealing key from its file, through the seal where there is one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use steeple_ca::seal::{KeyFile, SealError, SealingKey, WrappedKey};
use steeple_config::{ClusterSettings, SealSettings};
use steeple_core::Clock;
use steeple_core::plugin::{Seal, SealFailure};

use super::key_file::{self, KeyPathError};
use super::settings::seal;
use crate::peer::JoinProgress;

/// Where the key lies and what opens it.
pub struct Custody {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    /// `None`: the file holds the key as it is.
    seal: Option<Arc<dyn Seal>>,
}

/// What can be said of the file without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Of the seal that guards it; `file` without one.
    pub kind: String,
    pub key_id: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    #[error(transparent)]
    File(#[from] KeyPathError),
    #[error(
        "{path} is sealed by {found:?}, and the configuration names {configured:?}: write \
         cluster {{ seal {found:?} }}, or change the file with `steeple-server seal migrate`"
    )]
    AnotherSeal { path: PathBuf, found: String, configured: String },
    #[error("seal {kind:?} does not open {path}: {failure}")]
    Unwrap { kind: String, path: PathBuf, failure: SealFailure },
    #[error("seal {kind:?} does not seal a key: {failure}")]
    Wrap { kind: String, failure: SealFailure },
    #[error("{path}: {source}")]
    Key { path: PathBuf, source: SealError },
}

impl Custody {
    pub fn new(cluster: &ClusterSettings, clock: &Arc<dyn Clock>) -> Self {
        Self::at(&cluster.sealing_key_path, &cluster.seal, clock)
    }

    pub fn at(path: &Path, settings: &SealSettings, clock: &Arc<dyn Clock>) -> Self {
        Self { path: path.to_owned(), clock: Arc::clone(clock), seal: seal(settings, clock) }
    }

    /// The same file, guarded otherwise.
    pub fn under(&self, settings: &SealSettings) -> Self {
        Self::at(&self.path, settings, &self.clock)
    }

    /// The file beside, under the same seal, where a key lies that is to take this one's place.
    pub fn next(&self) -> Self {
        let (path, clock, seal) = (key_file::next_path(&self.path), Arc::clone(&self.clock), self.seal.clone());
        Self { path, clock, seal }
    }

    /// The key of [`Self::next`] becomes that of this file.
    pub fn promote_next(&self) -> Result<(), CustodyError> {
        Ok(key_file::promote_next(&self.path)?)
    }

    /// There is no key beside any more.
    pub fn discard_next(&self) -> Result<(), CustodyError> {
        Ok(key_file::discard_next(&self.path)?)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that an answer depends on.
    pub(super) fn inputs(&self) -> Vec<PathBuf> {
        let secret = self.seal.as_ref().and_then(|seal| seal.secret_path());
        std::iter::once(self.path.clone()).chain(secret).collect()
    }

    /// As in the configuration.
    pub fn kind(&self) -> &str {
        self.seal.as_ref().map_or(SealSettings::FILE, |seal| seal.kind())
    }

    /// Asks no seal.
    pub fn held(&self) -> Result<Held, CustodyError> {
        match key_file::read(&self.path)? {
            KeyFile::Plain(key) => Ok(Held { kind: SealSettings::FILE.to_owned(), key_id: self.id(&key)? }),
            KeyFile::Wrapped(WrappedKey { kind, key_id, .. }) => Ok(Held { kind, key_id }),
        }
    }

    pub async fn open(&self) -> Result<SealingKey, CustodyError> {
        match (key_file::read(&self.path)?, &self.seal) {
            (KeyFile::Plain(key), None) => Ok(key),
            (KeyFile::Wrapped(wrapped), Some(seal)) if seal.kind() == wrapped.kind => {
                self.unwrapped(seal.as_ref(), &wrapped).await
            }
            (KeyFile::Plain(_), Some(_)) => Err(self.another_seal(SealSettings::FILE)),
            (KeyFile::Wrapped(wrapped), _) => Err(self.another_seal(&wrapped.kind)),
        }
    }

    /// The key of the file, or a new one in a new file.
    pub async fn open_or_create(&self) -> Result<SealingKey, CustodyError> {
        match self.open().await {
            Err(CustodyError::File(KeyPathError::Missing { .. })) => {}
            opened => return opened,
        }
        let key = SealingKey::generate(&SystemRandom::new()).map_err(|source| self.not_the_key(source))?;
        match key_file::create(&self.path, &self.sealed(key.duplicate()).await?)? {
            true => Ok(key),
            false => self.open().await,
        }
    }

    /// The keys of both files; one that a seal refuses is left out, unless it is the only one.
    pub async fn open_all(&self) -> Result<Vec<SealingKey>, CustodyError> {
        let (current, next) = (self.open().await, self.next().open().await);
        match (current, next) {
            (Err(error), Err(_)) => Err(error),
            (current, next) => Ok(current.into_iter().chain(next).collect()),
        }
    }

    /// Seals `key` in place of what the file holds, or in a new file.
    pub async fn replace(&self, key: SealingKey) -> Result<(), CustodyError> {
        Ok(key_file::replace(&self.path, &self.sealed(key).await?)?)
    }

    /// As [`Self::open`], or [`Self::open_or_create`] with `may_create`, as often as it takes the seal to answer. Tells
    /// `progress` and the log why the server is sealed until then. Cancel by dropping the future.
    pub async fn wait_open(&self, may_create: bool, progress: &JoinProgress) -> Result<SealingKey, CustodyError> {
        let mut told = None;
        loop {
            let opened = if may_create { self.open_or_create().await } else { self.open().await };
            match opened {
                Err(error) if error.may_pass() => {
                    let why = error.to_string();
                    if told.as_ref() != Some(&why) {
                        tracing::warn!(reason = why, "the server is sealed, asking again");
                        progress.sealed_because(why.clone());
                        told = Some(why);
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Ok(key) => {
                    progress.unsealed();
                    if told.is_some() {
                        tracing::info!(seal = self.kind(), "the server is unsealed");
                    }
                    return Ok(key);
                }
                refused => return refused,
            }
        }
    }

    async fn unwrapped(&self, seal: &dyn Seal, wrapped: &WrappedKey) -> Result<SealingKey, CustodyError> {
        let associated = WrappedKey::associated(&wrapped.kind, &wrapped.key_id);
        let opened = seal.unwrap(&wrapped.ciphertext, &associated).await;
        let opened = opened.map_err(|failure| self.unwrap_failed(failure))?;
        wrapped.believe(opened).map_err(|source| self.not_the_key(source))
    }

    /// What is sealed is tried before anything depends on it: some may encrypt with a key and not decrypt.
    async fn sealed(&self, key: SealingKey) -> Result<KeyFile, CustodyError> {
        let Some(seal) = &self.seal else { return Ok(KeyFile::Plain(key)) };
        let key_id = self.id(&key)?;
        let wrapped = seal.wrap(key.secret(), &WrappedKey::associated(seal.kind(), &key_id)).await;
        let kind = seal.kind().to_owned();
        let wrapped = match wrapped {
            Ok(ciphertext) => WrappedKey { kind, key_id, ciphertext },
            Err(failure) => return Err(CustodyError::Wrap { kind, failure }),
        };
        self.unwrapped(seal.as_ref(), &wrapped).await?;
        Ok(KeyFile::Wrapped(wrapped))
    }

    fn id(&self, key: &SealingKey) -> Result<String, CustodyError> {
        key.id().map_err(|source| self.not_the_key(source))
    }

    fn not_the_key(&self, source: SealError) -> CustodyError {
        CustodyError::Key { path: self.path.clone(), source }
    }

    fn unwrap_failed(&self, failure: SealFailure) -> CustodyError {
        CustodyError::Unwrap { kind: self.kind().to_owned(), path: self.path.clone(), failure }
    }

    fn another_seal(&self, found: &str) -> CustodyError {
        let (path, configured) = (self.path.clone(), self.kind().to_owned());
        CustodyError::AnotherSeal { path, found: found.to_owned(), configured }
    }
}

impl CustodyError {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::File(KeyPathError::Missing { .. }))
    }

    /// A seal said no, and may count how often: it is not asked the same again.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Unwrap { failure: SealFailure::Refused(_), .. } | Self::Wrap { failure: SealFailure::Refused(_), .. }
        )
    }

    /// Whether asking again may help.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unwrap { failure: SealFailure::NotNow(_), .. } | Self::Wrap { failure: SealFailure::NotNow(_), .. }
        )
    }
}

/// A seal comes back in minutes, and nobody is served meanwhile.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(2);
