//! Envelopes around private keys, so that log, snapshots, backups and peer traffic hold ciphertext only.
//!
//! ```text
//!   sealing key   a file of each server, as it is or wrapped by a seal, never in the log
//!     └─ root key     one for the cluster, wrapped by the sealing key      ┐ SealedKeyring, in the replicated state
//!          └─ data keys   one per term, wrapped by the root key            ┘
//!               └─ SealedKey   CA, JWT and peer CA keys, in the replicated state
//! ```
//!
//! Everything is AES-256-GCM with a random nonce. The associated data binds an envelope to its cluster, the type and
//! id of what it holds, and the term, so that one cannot be put in another's place.

mod backup;
mod binding;
mod envelope;
mod key_file;
mod keyring;
mod passphrase;
mod proof;
mod sealing_key;

pub use backup::{BackupCipher, BackupName};
pub use binding::{Binding, ClusterUuid, RecordType};
pub use key_file::{KeyFile, KeyFileError, WrappedKey};
pub use keyring::{Keyring, NextSealingKey, SealedKeyring};
pub use passphrase::{PassphraseCost, unwrap_with_passphrase, wrap_with_passphrase};
pub use proof::{PROOF_BYTES, ProofRole, prove, verify_proof};
pub use sealing_key::SealingKey;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error(
        "the sealing key {actual} does not open this cluster's keyring, which was sealed with {expected}: \
         give this server the sealing key file of the cluster"
    )]
    WrongSealingKey { expected: String, actual: String },
    #[error("the keyring does not belong to this cluster, or was altered")]
    ForeignKeyring,
    #[error("sealed {what} cannot be opened: it belongs to another record or cluster, or was altered")]
    Altered { what: &'static str },
    #[error("the seal opened the sealing key {actual}, and the file says that it is {expected}: the file was altered")]
    AnotherKeyUnwrapped { expected: String, actual: String },
    #[error("sealed data is malformed: {0}")]
    Malformed(&'static str),
    #[error("sealed data has version {0}, which a newer Steeple wrote: upgrade this server")]
    UnknownVersion(u8),
    #[error("the keyring has no data key of term {term}")]
    UnknownTerm { term: u64 },
    #[error("the keyring already has {TERMS_MAX} data keys")]
    TooManyTerms,
    #[error("the cryptographic library failed")]
    Crypto,
}

impl From<crate::RandomError> for SealError {
    fn from(_: crate::RandomError) -> Self {
        Self::Crypto
    }
}

/// A rotation a day for almost three years; old data keys are dropped long before.
const TERMS_MAX: usize = 1000;
