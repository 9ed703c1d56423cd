//! One RocksDB under one write-ahead log, for the Raft log, the replicated rows and the node's identity.
//!
//! This crate moves bytes. It knows neither openraft nor entries; what it promises is order and durability:
//!
//! ```text
//!   Log ── append, vote ──┐                        ┌─ raft_log    entries, a CRC32C each
//!   Log ── committed ─────┤   one WAL,             ├─ raft_meta   vote, purge marker, committed, identity
//!   Kv ─── write(batch) ──┼── in call order ──▶ db ┼─ state_a ┐   rows: one generation in force,
//!   Identity ── put ──────┘        │               ├─ state_b ┘   the other spare for installing a snapshot
//!                                  ▼               └─ state_meta  applied index, generation, the caller's meta
//!                               Flusher   one thread: sync the WAL, then acknowledge in order
//!
//!   Snapshots   logical streams in files of their own: written, synced, then switched by one pointer file
//! ```
//!
//! 1. What a call wrote is readable when it returns, and durable when its callback ran (or, for the vote and the
//!    identity, when it returned). Writes reach the disk in call order: a later one is never there without an earlier.
//! 2. The first failed write or flush is final. Nothing is retried, nothing is acknowledged afterwards.
//! 3. A record that fails its checksum, or is missing in the middle, is an error that names it. Nothing is skipped.
//! 4. A crash leaves either the old or the new snapshot, and either the old or the new rows.
//!
//! Every call blocks for disk I/O; async callers use a blocking thread, except for the append path, which does not wait
//! for the disk to sync.

mod bounds;
mod checked;
mod db;
mod durable;
mod env;
mod error;
mod flush_by_hand;
mod flusher;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod identity;
mod inspect;
mod kv;
mod log;
mod log_index;
mod meter;
mod options;
mod record;
mod replace;
mod snapshot;
mod space;
mod stats;
mod storage;
mod view;
mod wal;

pub use bounds::{LogBounds, LogPosition, Purged};
pub use env::{FailPoint, FailPoints};
pub use error::StorageError;
pub use flush_by_hand::FlushByHand;
pub use flusher::{FLUSH_QUEUE_MAX, FlushCallback};
pub use format::InUse;
pub use identity::Identity;
pub use inspect::{Inspector, Summary};
pub use kv::{Batch, Kv, ROW_BYTES_MAX, Row, TABLE_MAX};
pub use log::{ENTRY_BYTES_MAX, Log};
pub use meter::Meter;
pub use options::{FatalHook, Options};
pub use record::LogEntry;
pub use replace::Replacement;
pub use snapshot::{IncomingSnapshot, Installed, SNAPSHOT_BYTES_MAX, SnapshotFile, SnapshotInfo, Snapshots};
pub use space::{Space, SpaceLevel};
pub use stats::{FLUSH_BUCKETS_US, Stats};
pub use storage::Storage;
pub use view::KvView;
