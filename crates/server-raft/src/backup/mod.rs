//! Backups: the rows of the replicated state in one encrypted file, and the way back.
//!
//! ```text
//!   replica ── source ── writer ──► draft ──► place ──► reader ─┬─ facts    inspect: without the key
//!                                                               └─ opened   verify and restore: with it
//!   restore      opened ── raft::refound ──► a new store of a new cluster
//! ```
//!
//! A backup is logical: protobuf rows in key order, as the state writes them, so it does not depend on RocksDB or on
//! Raft's own records. The private keys in it stay sealed; on top of that the file is encrypted as a whole, because
//! entries, agents and tokens are nobody's business either.

mod draft;
mod error;
mod facts;
mod format;
mod opened;
mod place;
mod reader;
mod restore;
mod source;
#[cfg(test)]
mod tests;
mod writer;

pub use draft::Draft;
pub use error::BackupError;
pub use facts::{facts, file_name, is_backup_name, named_at};
pub use opened::{Opened, open};
pub use place::{BucketPlace, Content, Place, Spot};
pub use reader::BackupReader;
pub use restore::{RestoreError, Restored, Target, demand_trust_domain, restore};
pub use source::Backups;
