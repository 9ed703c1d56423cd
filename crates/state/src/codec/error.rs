//! Why bytes are not what this version can apply. Each is a hard stop for the replica that meets it in its log or rows.

use crate::{CLUSTER_VERSION_MAX, Table};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the record is empty: it was truncated or never written whole")]
    Empty,
    #[error("format version {found} is newer than this program's {known}: upgrade this server")]
    UnknownVersion { found: u8, known: u8 },
    #[error("the record is damaged: {reason}")]
    Damaged { reason: String },
    #[error("the record has {bytes} bytes, more than {bytes_max}")]
    TooLong { bytes: usize, bytes_max: usize },
    #[error("a command of a kind that this program does not know: upgrade this server")]
    UnknownCommand,
    #[error("the record has content that this program does not know: upgrade this server")]
    UnknownContent,
    #[error("the cluster is at version {found}, this program knows versions up to {CLUSTER_VERSION_MAX}: upgrade it")]
    ClusterVersion { found: u32 },
    #[error("{what} is missing")]
    Missing { what: &'static str },
    #[error("{what} is invalid: {reason}")]
    Invalid { what: &'static str, reason: String },
    #[error("a row of table {table:?} stands under another record's key")]
    WrongKey { table: Table },
    #[error("two rows of table {table:?} claim one identity")]
    DuplicateRow { table: Table },
}

impl DecodeError {
    pub(super) fn invalid(what: &'static str, reason: impl ToString) -> Self {
        Self::Invalid { what, reason: reason.to_string() }
    }
}
