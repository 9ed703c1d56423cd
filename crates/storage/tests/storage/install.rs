//! Installing snapshots: whole, once, never backwards.

use steeple_storage::{Installed, Storage, StorageError};

use crate::snapshot::{bytes, receive};
use crate::support::{apply, fresh, number, open};

/// A snapshot at `applied` with `rows` rows, as a peer would send it.
pub fn snapshot_of(applied: u64, rows: u32) -> Vec<u8> {
    let (_dir, storage) = fresh();
    apply(&storage, applied, rows);
    storage.snapshots().build().unwrap();
    bytes(&storage)
}

/// The applied index, the number of rows, and that every row and the meta agree with that index.
pub fn state(storage: &Storage) -> (Option<u64>, usize) {
    let kv = storage.kv();
    let view = kv.view().unwrap();
    let applied = view.applied().unwrap();
    assert_eq!(view.meta(b"membership").unwrap().map(|value| number(&value)), applied);
    let values: Vec<u64> = view.rows().map(|row| number(&row.unwrap().value)).collect();
    let other = values.iter().find(|value| Some(**value) != applied);
    assert_eq!(other, None, "rows of two instants, the state is at {applied:?}");
    (applied, values.len())
}

#[test]
fn replaces_all_rows_and_meta() {
    let (dir, storage) = fresh();
    apply(&storage, 3, 500);
    let mut batch = steeple_storage::Batch::new();
    batch.meta(b"only before", b"x");
    storage.kv().write(batch).unwrap();
    // More rows than one frame holds.
    let sent = snapshot_of(8, 20_000);
    let file = receive(&storage, &sent).unwrap();
    let extra: [(&[u8], &[u8]); 1] = [(b"snapshot_id", b"8-1")];
    assert_eq!(storage.snapshots().install(file, 8, &extra).unwrap(), Installed::Replaced);
    assert_eq!(state(&storage), (Some(8), 20_000));
    assert_eq!(storage.kv().meta(b"only before").unwrap(), None);
    assert_eq!(bytes(&storage), sent, "the installed snapshot is the current one");
    apply(&storage, 9, 20_000);
    drop(storage);
    let storage = open(dir.path());
    assert_eq!(state(&storage), (Some(9), 20_000));
    assert_eq!(storage.kv().meta(b"snapshot_id").unwrap(), Some(b"8-1".to_vec()));
}

#[test]
fn installs_alternate_between_the_two_generations() {
    let (dir, mut storage) = fresh();
    for applied in 1..6 {
        let rows = applied as u32 * 10;
        let file = receive(&storage, &snapshot_of(applied, rows)).unwrap();
        assert_eq!(storage.snapshots().install(file, applied, &[]).unwrap(), Installed::Replaced);
        assert_eq!(state(&storage), (Some(applied), rows as usize));
        if applied % 2 == 0 {
            drop(storage);
            storage = open(dir.path());
        }
    }
}

#[test]
fn a_file_of_another_store_is_copied_first() {
    let (_theirs_dir, theirs) = fresh();
    apply(&theirs, 6, 300);
    theirs.snapshots().build().unwrap();
    let (dir, ours) = fresh();
    let file = theirs.snapshots().open_current().unwrap().unwrap();
    assert_eq!(ours.snapshots().install(file, 6, &[]).unwrap(), Installed::Replaced);
    assert_eq!(bytes(&ours), bytes(&theirs));
    drop((theirs, ours));
    assert_eq!(state(&open(dir.path())), (Some(6), 300));
}

#[test]
fn trap_install_is_idempotent() {
    let (dir, storage) = fresh();
    let sent = snapshot_of(5, 10);
    let install = |storage: &Storage| {
        let file = receive(storage, &sent).unwrap();
        storage.snapshots().install(file, 5, &[]).unwrap()
    };
    assert_eq!(install(&storage), Installed::Replaced);
    assert_eq!(install(&storage), Installed::Kept { applied: 5 });
    drop(storage);
    // Raft installs the current snapshot again when it starts.
    let storage = open(dir.path());
    let current = storage.snapshots().open_current().unwrap().unwrap();
    assert_eq!(storage.snapshots().install(current, 5, &[]).unwrap(), Installed::Kept { applied: 5 });
    assert_eq!((state(&storage), bytes(&storage)), ((Some(5), 10), sent));
}

#[test]
fn trap_install_never_overwrites_newer_state() {
    let (_dir, storage) = fresh();
    apply(&storage, 7, 3);
    storage.snapshots().build().unwrap();
    let newer = bytes(&storage);
    let file = receive(&storage, &snapshot_of(6, 10)).unwrap();
    assert_eq!(storage.snapshots().install(file, 6, &[(b"x", b"y")]).unwrap(), Installed::Kept { applied: 7 });
    assert_eq!((state(&storage), bytes(&storage)), ((Some(7), 3), newer));
    assert_eq!(storage.kv().meta(b"x").unwrap(), None);
}

#[test]
fn a_snapshot_of_another_index_is_refused() {
    let (_dir, storage) = fresh();
    let file = receive(&storage, &snapshot_of(6, 10)).unwrap();
    let refused = storage.snapshots().install(file, 7, &[]);
    assert_eq!(refused, Err(StorageError::SnapshotMismatch { expected: 7, found: Some(6) }));
    assert_eq!(storage.kv().applied().unwrap(), None);
}

#[test]
fn a_view_taken_before_stays_what_it_was() {
    let (_dir, storage) = fresh();
    apply(&storage, 1, 30);
    let kv = storage.kv();
    let view = kv.view().unwrap();
    let file = receive(&storage, &snapshot_of(2, 10)).unwrap();
    storage.snapshots().install(file, 2, &[]).unwrap();
    let values: Vec<u64> = view.rows().map(|row| number(&row.unwrap().value)).collect();
    assert_eq!(values, vec![1; 30]);
    assert_eq!(state(&storage), (Some(2), 10));
}
