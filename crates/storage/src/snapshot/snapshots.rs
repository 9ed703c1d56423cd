//! Building, handing out and taking in snapshots.

use std::io::{BufWriter, Write};
use std::sync::Arc;

use super::codec::{EncodeError, Encoder};
use super::file::{IncomingSnapshot, SnapshotFile, SnapshotInfo, Staged};
use super::install::{self, Installed};
use crate::storage::Shared;
use crate::view::KvView;
use crate::{StorageError, durable};

/// The snapshots of this replica: one is current, or none yet.
#[derive(Clone)]
pub struct Snapshots {
    shared: Arc<Shared>,
}

impl Snapshots {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes rows and meta of one instant to a new file and makes it current. Blocks for as long as that takes, while
    /// writes go on; a second build or an installation waits for it.
    pub fn build(&self) -> Result<SnapshotInfo, StorageError> {
        let _one_at_a_time = self.shared.snapshot_work.lock();
        let view = KvView::new(&self.shared)?;
        let staged = Staged::new(self.shared.snapshots.stage());
        let info = write(&view, &staged)?;
        self.shared.snapshots.publish(staged, info.clone())?;
        Ok(info)
    }

    pub fn current(&self) -> Option<SnapshotInfo> {
        self.shared.snapshots.info()
    }

    /// The current snapshot for streaming to a peer or for installing it again; it was verified when it was made or
    /// when the store was opened.
    pub fn open_current(&self) -> Result<Option<SnapshotFile>, StorageError> {
        self.shared.snapshots.open_current()
    }

    /// A place for the bytes of a peer's snapshot.
    pub fn receive(&self) -> Result<IncomingSnapshot, StorageError> {
        self.shared.db.health.check()?;
        IncomingSnapshot::create(self.shared.snapshots.stage())
    }

    /// Makes `snapshot` current and replaces all rows and meta by what it holds, plus `extra_meta` on top.
    ///
    /// `applied` is the index that the caller was promised. A state that is as new or newer is kept, and so is a
    /// current snapshot that is; the call may be repeated. A crash leaves the old state or the new one.
    ///
    /// # Errors
    /// [`StorageError::SnapshotMismatch`] when the snapshot holds another index; nothing changed then.
    pub fn install(
        &self,
        snapshot: SnapshotFile,
        applied: u64,
        extra_meta: &[(&[u8], &[u8])],
    ) -> Result<Installed, StorageError> {
        let _one_at_a_time = self.shared.snapshot_work.lock();
        install::install(&self.shared, snapshot, applied, extra_meta)
    }
}

/// Writes the view to the staged file and syncs it.
fn write(view: &KvView<'_>, staged: &Staged) -> Result<SnapshotInfo, StorageError> {
    let path = staged.path();
    let failed = |error| match error {
        EncodeError::Write(error) => StorageError::io("write", path, &error),
        EncodeError::TooLarge(error) => error,
    };
    let (applied, meta) = (view.applied()?, view.all_meta()?);
    let file = BufWriter::new(durable::create_private_file(path)?);
    let mut encoder = Encoder::begin(file, applied, &meta).map_err(failed)?;
    for row in view.rows() {
        encoder.row(&row?).map_err(failed)?;
    }
    let (mut file, totals) = encoder.finish().map_err(failed)?;
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|error| StorageError::io("write", path, &error))?;
    Ok(SnapshotInfo::new(applied, meta, totals))
}
