//! Snapshots: files of the storage crate, built from one instant of the store and handed to openraft as they are.

use std::io::{self, Read};

use openraft::storage::RaftSnapshotBuilder;
use steeple_storage::{SnapshotFile, Snapshots, VerifiedSnapshot};

use super::state_machine::{blocking, snapshot_meta};
use super::types::TypeConfig;

type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotData>;

/// Bytes copied at once when a stored snapshot is verified again.
const COPY_BYTES: usize = 256 * 1024;

/// A snapshot on its way out or in.
pub enum SnapshotData {
    /// The current snapshot of this replica, to be read.
    Stored(SnapshotFile),
    /// A peer's snapshot, complete and checked, to be installed.
    Received(VerifiedSnapshot),
}

impl SnapshotData {
    /// Ready to install. A stored one is verified again: openraft installs it when it finds the state older at start.
    pub(super) fn verified(self, snapshots: &Snapshots) -> Result<VerifiedSnapshot, io::Error> {
        match self {
            Self::Received(verified) => Ok(verified),
            Self::Stored(mut file) => {
                let mut incoming = snapshots.receive().map_err(io::Error::other)?;
                let mut chunk = vec![0; COPY_BYTES];
                loop {
                    let read = file.read(&mut chunk)?;
                    if read == 0 {
                        return incoming.finish().map_err(io::Error::other);
                    }
                    incoming.write(&chunk[..read]).map_err(io::Error::other)?;
                }
            }
        }
    }
}

pub struct SnapshotBuilder {
    snapshots: Snapshots,
}

impl SnapshotBuilder {
    pub(super) fn new(snapshots: Snapshots) -> Self {
        Self { snapshots }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let snapshots = self.snapshots.clone();
        blocking(move || snapshots.build().map(drop).map_err(io::Error::other)).await?;
        current(&self.snapshots)?.ok_or_else(|| io::Error::other("the snapshot just built is gone"))
    }
}

pub(super) fn current(snapshots: &Snapshots) -> Result<Option<Snapshot>, io::Error> {
    let Some(file) = snapshots.open_current().map_err(io::Error::other)? else { return Ok(None) };
    let meta = snapshot_meta(&file.info().meta)?;
    Ok(Some(Snapshot { meta, snapshot: SnapshotData::Stored(file) }))
}
