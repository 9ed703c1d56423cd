//! Snapshots: the rows and meta of one instant as a file that peers can read.
//!
//! ```text
//!   build    one RocksDB view ──▶ N.snapshot, synced ──▶ CURRENT names it ──▶ older files deleted
//!   receive  a peer's bytes ──▶ incoming file, synced, every checksum verified ──▶ a SnapshotFile, not yet current
//!   install  CURRENT names it ──▶ its rows fill the spare generation ──▶ one synced batch flips ──▶ old rows dropped
//! ```
//!
//! The file becomes current before its rows do. A crash in between leaves a snapshot that is newer than the rows,
//! which Raft repairs by installing it again; the other way round a replica could have purged its log and have nothing
//! to send.

mod codec;
mod file;
mod files;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod install;
mod snapshots;

pub use file::{IncomingSnapshot, SNAPSHOT_BYTES_MAX, SnapshotFile, SnapshotInfo};
pub(crate) use files::{SnapshotFiles, inspect};
pub use install::Installed;
pub use snapshots::Snapshots;
