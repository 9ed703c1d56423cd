//! Why there is no backup, or why one is of no use, each with the next step.

use std::io;

use steeple_ca::seal::SealError;
use steeple_s3::S3Error;
use steeple_state::DecodeError;
use steeple_storage::StorageError;

use super::Spot;
use super::format::{FEATURE_LEVEL, VERSION};
use crate::seal::ServerSealed;

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{path}: {source}")]
    File { path: String, source: Box<BackupError> },
    #[error("{0}; the directory is made by an administrator, and this program needs to write to it")]
    Directory(#[source] io::Error),
    #[error(transparent)]
    Store(#[from] S3Error),
    #[error("{place} already exists: a backup never takes the place of another one; choose another name")]
    Taken { place: String },
    #[error("{text:?} names no backup: write the path of a file, or s3://BUCKET/PREFIX/NAME")]
    NoName { text: String },
    #[error("the backup cannot be read: {0}; check the path and its permissions")]
    Read(#[source] io::Error),
    #[error("the backup cannot be written: {0}; free space, or write it to another volume")]
    Write(#[source] io::Error),
    #[error("this is no backup of a Steeple cluster; `backup list -dir DIR` names those of a directory")]
    NotABackup,
    #[error("the backup has format {found}, this release reads up to {VERSION}: use the release that wrote it")]
    NewerFormat { found: u32 },
    #[error(
        "the backup has feature level {found}, this release knows up to {FEATURE_LEVEL}: use the one that wrote it"
    )]
    NewerFeatures { found: u32 },
    #[error("the backup is cut short: copy it again from where it was written, or use an older one")]
    CutShort,
    #[error("the backup is damaged ({0}): copy it again from where it was written, or use an older one")]
    Damaged(String),
    #[error(
        "the sealing key {actual} does not open this backup, which was sealed with {expected}: name the sealing key \
         file of the cluster that wrote it (-sealingKeyPath)"
    )]
    WrongSealingKey { expected: String, actual: String },
    #[error(transparent)]
    Sealed(#[from] ServerSealed),
    #[error("the sealing key cannot be used: {0}")]
    Seal(#[source] SealError),
    #[error("the rows of the backup cannot be used: {0}")]
    Rows(#[from] DecodeError),
    #[error("storage: {0}")]
    Storage(#[from] StorageError),
    #[error("what is to be saved is not stored yet; try again in a moment")]
    Changing,
    #[error("the cluster is not initialised yet: there is nothing to back up")]
    Uninitialised,
}

impl BackupError {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// What an object's reader wraps is told as it is.
    pub(super) fn reading(error: io::Error) -> Self {
        error.downcast::<S3Error>().map_or_else(Self::Read, Self::Store)
    }

    /// With the file's name, for people.
    pub fn at(self, spot: &Spot) -> Self {
        Self::File { path: spot.to_string(), source: Box::new(self) }
    }
}
