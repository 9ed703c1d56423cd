//! Replacing the whole state: the rows go where nobody reads, then one synced batch makes them the rows.

use std::io::Read;

use rocksdb::WriteBatch;

use super::file::{IncomingSnapshot, SnapshotFile, refuse};
use crate::db::{Db, STATE_META};
use crate::kv::{self, CALLER, Generation};
use crate::storage::Shared;
use crate::{FailPoint, StorageError, checked};

/// Bytes copied at once.
const COPY_BYTES: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// The rows are now those of the snapshot.
    Replaced,
    /// The state was at `applied`, as new as the snapshot or newer, and was left alone.
    Kept { applied: u64 },
}

/// The caller holds the lock that admits one build or installation at a time.
pub(crate) fn install(
    shared: &Shared,
    mut snapshot: SnapshotFile,
    applied: u64,
    extra_meta: &[(&[u8], &[u8])],
) -> Result<Installed, StorageError> {
    let db = &*shared.db;
    let found = snapshot.info().applied;
    if found != Some(applied) {
        return Err(StorageError::SnapshotMismatch { expected: applied, found });
    }
    if snapshot.staged_mut().is_none() && !shared.snapshots.holds(snapshot.path()) {
        snapshot = copy(shared, snapshot)?;
    }
    if let Some(staged) = snapshot.staged_mut().take()
        && shared.snapshots.info().and_then(|current| current.applied) < Some(applied)
    {
        let path = shared.snapshots.publish(staged, snapshot.info().clone())?;
        snapshot = SnapshotFile::reopen(&path, snapshot.info().clone())?;
    }
    if let Some(kept) = newer(db, applied)? {
        return Ok(Installed::Kept { applied: kept });
    }
    let spare = shared.generation.read().other();
    fill(db, spare, &mut snapshot)?;
    db.reach(FailPoint::BeforeInstallFlip)?;
    flip(shared, spare, &snapshot, applied, extra_meta)
}

/// A file of another directory becomes one of ours, checked like every one that arrives.
fn copy(shared: &Shared, mut snapshot: SnapshotFile) -> Result<SnapshotFile, StorageError> {
    let mut incoming = IncomingSnapshot::create(shared.snapshots.stage())?;
    let mut chunk = vec![0; COPY_BYTES];
    loop {
        let read = snapshot.read(&mut chunk).map_err(|error| StorageError::io("read", snapshot.path(), &error))?;
        if read == 0 {
            return incoming.finish();
        }
        incoming.write(&chunk[..read])?;
    }
}

/// The applied index of the state, if that is not older than `applied`.
fn newer(db: &Db, applied: u64) -> Result<Option<u64>, StorageError> {
    let state = kv::applied(|key| db.get_checked(STATE_META, key))?;
    Ok(state.filter(|state| *state >= applied))
}

/// Writes the rows of the snapshot into an empty family, past the WAL, and makes them durable as a whole.
fn fill(db: &Db, spare: Generation, snapshot: &mut SnapshotFile) -> Result<(), StorageError> {
    db.recreate_family(spare.family())?;
    let path = snapshot.path().to_path_buf();
    let mut decoder = snapshot.decoder()?;
    while let Some(rows) = decoder.next_rows().map_err(|error| refuse(&path, error))? {
        let family = db.family(spare.family())?;
        let mut batch = WriteBatch::default();
        for row in rows {
            batch.put_cf(&family, kv::row_key(row.table, &row.key)?, row.value);
        }
        db.write_unlogged(batch, "write the rows of a snapshot")?;
        db.reach(FailPoint::DuringInstall)?;
    }
    db.flush_family(spare.family(), true)
}

/// Puts the spare rows in force together with the snapshot's meta, then drops the old ones. Readers and writers of
/// rows wait for one flush.
fn flip(
    shared: &Shared,
    spare: Generation,
    snapshot: &SnapshotFile,
    applied: u64,
    extra_meta: &[(&[u8], &[u8])],
) -> Result<Installed, StorageError> {
    let db = &*shared.db;
    let mut generation = shared.generation.write();
    // The state machine may have applied entries while the rows were being written.
    if let Some(kept) = newer(db, applied)? {
        return Ok(Installed::Kept { applied: kept });
    }
    let meta = db.family(STATE_META)?;
    let mut batch = WriteBatch::default();
    batch.delete_range_cf(&meta, vec![CALLER], vec![CALLER + 1]);
    let stored = snapshot.info().meta.iter().map(|(key, value)| (&key[..], &value[..]));
    for (key, value) in stored.chain(extra_meta.iter().copied()) {
        let key = [&[CALLER], key].concat();
        batch.put_cf(&meta, &key, checked::seal(&key, value));
    }
    kv::put_applied(&mut batch, db, applied)?;
    spare.put_into(&mut batch, db)?;
    db.write(batch, "put the rows of a snapshot in force")?;
    shared.flusher.wait()?;
    let old = std::mem::replace(&mut *generation, spare);
    db.reach(FailPoint::AfterInstallFlip)?;
    db.recreate_family(old.family())?;
    Ok(Installed::Replaced)
}
