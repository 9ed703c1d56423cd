//! The seam where tests make the process die or the disk fail, at named instants of the write path.

use std::io;
use std::sync::Arc;

/// An instant of the write path, in the order in which they are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailPoint {
    /// Entries are checked and encoded, nothing has reached the WAL.
    BeforeWalWrite,
    /// The WAL holds the batch in the page cache, the flusher does not know it yet.
    AfterWalWrite,
    /// The flusher is about to sync.
    BeforeFlush,
    /// Durable, not yet acknowledged.
    AfterFlush,
    BeforeVoteWrite,
    /// A state batch is complete, nothing has reached the WAL.
    BeforeStateWrite,
    /// The purge marker is in the WAL, the entries are still there.
    AfterPurgeMarker,
    /// The snapshot file is durable under its own name, the pointer names the older one.
    BeforeSnapshotPointer,
    /// The pointer names the new snapshot, the older file still exists.
    AfterSnapshotPointer,
    /// Some rows of the snapshot are in the spare generation.
    DuringInstall,
    /// All rows are in the spare generation and durable, the old generation is in force.
    BeforeInstallFlip,
    /// The new generation is in force and durable, the old rows still exist.
    AfterInstallFlip,
}

impl FailPoint {
    /// Every point, so that a crash test can prove that it visited all of them.
    pub const ALL: [FailPoint; 12] = [
        Self::BeforeWalWrite,
        Self::AfterWalWrite,
        Self::BeforeFlush,
        Self::AfterFlush,
        Self::BeforeVoteWrite,
        Self::BeforeStateWrite,
        Self::AfterPurgeMarker,
        Self::BeforeSnapshotPointer,
        Self::AfterSnapshotPointer,
        Self::DuringInstall,
        Self::BeforeInstallFlip,
        Self::AfterInstallFlip,
    ];
}

type Probe = dyn Fn(FailPoint) -> io::Result<()> + Send + Sync;

/// What happens at each [`FailPoint`]: nothing unless a test says otherwise.
#[derive(Clone, Default)]
pub struct FailPoints(Option<Arc<Probe>>);

impl FailPoints {
    /// `probe` runs at every point. It may block, abort the process, or return the error that the disk would.
    pub fn new(probe: impl Fn(FailPoint) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(probe)))
    }

    pub(crate) fn reach(&self, point: FailPoint) -> io::Result<()> {
        match &self.0 {
            Some(probe) => probe(point),
            None => Ok(()),
        }
    }
}
