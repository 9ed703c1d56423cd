//! Snapshots: files of the storage crate, built from one instant of the store and handed to openraft as they are.

use std::io;

use openraft::storage::RaftSnapshotBuilder;
use steeple_storage::{SnapshotFile, Snapshots};

use super::state_machine::{blocking, snapshot_meta};
use super::types::TypeConfig;
use crate::metrics::SnapshotTimer;

/// Complete and checked, whether it is this replica's current one, to be sent, or a peer's, to be installed.
pub(super) type Snapshot = openraft::alias::SnapshotOf<TypeConfig, SnapshotFile>;

pub struct SnapshotBuilder {
    snapshots: Snapshots,
}

impl SnapshotBuilder {
    pub(super) fn new(snapshots: Snapshots) -> Self {
        Self { snapshots }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let snapshots = self.snapshots.clone();
        let timer = SnapshotTimer::taken();
        let built = blocking(move || snapshots.build().map_err(io::Error::other)).await;
        timer.done(built.as_ref().ok().map(|info| info.size_bytes));
        built?;
        current(&self.snapshots)?.ok_or_else(|| io::Error::other("the snapshot just built is gone"))
    }
}

pub(super) fn current(snapshots: &Snapshots) -> Result<Option<Snapshot>, io::Error> {
    let Some(file) = snapshots.open_current().map_err(io::Error::other)? else { return Ok(None) };
    let meta = snapshot_meta(&file.info().meta)?;
    Ok(Some(Snapshot { meta, snapshot: file }))
}
