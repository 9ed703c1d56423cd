//! Building and sending snapshots.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use steeple_storage::{SnapshotFile, SnapshotInfo, Storage, StorageError};

use crate::support::{apply, copy, files_ending, fresh, number, open, options};

/// All bytes of the current snapshot.
pub fn bytes(storage: &Storage) -> Vec<u8> {
    let mut bytes = Vec::new();
    storage.snapshots().open_current().unwrap().unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// What a peer makes of them.
pub fn receive(storage: &Storage, bytes: &[u8]) -> Result<SnapshotFile, StorageError> {
    let mut incoming = storage.snapshots().receive()?;
    for chunk in bytes.chunks(1_000) {
        incoming.write(chunk)?;
    }
    incoming.finish()
}

#[test]
fn trap_snapshot_meta_and_rows_are_one_instant() {
    let (_dir, storage) = fresh();
    apply(&storage, 1, 50);
    let stop = AtomicBool::new(false);
    /// Ends the writer when a check fails, too.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            let mut applied = 1;
            while !stop.load(Relaxed) {
                applied += 1;
                apply(&storage, applied, 50);
            }
        });
        for _ in 0..20 {
            let info = storage.snapshots().build().unwrap();
            let (_other_dir, other) = fresh();
            let file = receive(&other, &bytes(&storage)).unwrap();
            assert_eq!(file.info(), &info);
            let applied = info.applied.unwrap();
            assert_eq!(number(&info.meta[&b"membership"[..]]), applied);
            other.snapshots().install(file, applied, &[]).unwrap();
            let kv = other.kv();
            let values: Vec<u64> = kv.view().unwrap().rows().map(|row| number(&row.unwrap().value)).collect();
            assert_eq!(values, vec![applied; 50]);
        }
    });
}

#[test]
fn an_empty_state_has_a_snapshot_too() {
    let (_dir, storage) = fresh();
    assert_eq!(storage.snapshots().current(), None);
    assert!(storage.snapshots().open_current().unwrap().is_none());
    let info = storage.snapshots().build().unwrap();
    assert_eq!((info.applied, info.rows, info.size_bytes), (None, 0, bytes(&storage).len() as u64));
    assert_eq!(receive(&storage, &bytes(&storage)).unwrap().info(), &info);
}

#[test]
fn the_current_snapshot_survives_a_restart_and_older_files_go() {
    let (dir, storage) = fresh();
    let mut last: Option<SnapshotInfo> = None;
    for applied in 1..4 {
        apply(&storage, applied, 10);
        last = Some(storage.snapshots().build().unwrap());
    }
    assert_eq!(files_ending(&dir.path().join("snapshots"), ".snapshot").len(), 1);
    drop(storage);
    let storage = open(dir.path());
    assert_eq!(storage.snapshots().current(), last);
}

#[test]
fn an_open_snapshot_outlives_its_successor() {
    let (_dir, storage) = fresh();
    apply(&storage, 1, 10);
    storage.snapshots().build().unwrap();
    let mut old = storage.snapshots().open_current().unwrap().unwrap();
    let expected = bytes(&storage);
    apply(&storage, 2, 10);
    storage.snapshots().build().unwrap();
    let mut read = Vec::new();
    old.read_to_end(&mut read).unwrap();
    assert_eq!(read, expected);
}

#[test]
fn trap_greatest_file_name_is_not_current() {
    let (dir, storage) = fresh();
    apply(&storage, 1, 10);
    let info = storage.snapshots().build().unwrap();
    let snapshots = dir.path().join("snapshots");
    let current = files_ending(&snapshots, ".snapshot").remove(0);
    drop(storage);
    // A complete file that never became current, and one that a crash cut short.
    std::fs::copy(&current, snapshots.join("99999999999999999999.snapshot")).unwrap();
    std::fs::write(snapshots.join("99999999999999999998.snapshot"), b"half").unwrap();
    std::fs::write(snapshots.join("00000000000000000099.part"), b"half").unwrap();
    std::fs::write(snapshots.join("CURRENT.tmp"), b"half").unwrap();
    let storage = open(dir.path());
    assert_eq!(storage.snapshots().current(), Some(info));
    let left: Vec<_> = std::fs::read_dir(&snapshots).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "the pointer and its file remain: {left:?}");
}

#[test]
fn trap_unreadable_snapshot_stops_the_start() {
    let (dir, storage) = fresh();
    apply(&storage, 1, 10);
    storage.snapshots().build().unwrap();
    drop(storage);
    let damages: [fn(&std::path::Path); 4] = [
        |snapshots| {
            let file = files_ending(snapshots, ".snapshot").remove(0);
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(file, bytes).unwrap();
        },
        |snapshots| std::fs::remove_file(files_ending(snapshots, ".snapshot").remove(0)).unwrap(),
        |snapshots| std::fs::write(snapshots.join("CURRENT"), b"steeple-snapshot 1\n").unwrap(),
        |snapshots| {
            // A whole and valid snapshot of something else under the right name.
            let (_dir, other) = fresh();
            other.snapshots().build().unwrap();
            std::fs::write(files_ending(snapshots, ".snapshot").remove(0), bytes(&other)).unwrap();
        },
    ];
    for (at, damage) in damages.iter().enumerate() {
        let copied = copy(dir.path());
        damage(&copied.path().join("snapshots"));
        let refused =
            Storage::open(copied.path(), options()).err().unwrap_or_else(|| panic!("damage {at} was accepted"));
        assert!(matches!(refused, StorageError::CorruptSnapshot { .. } | StorageError::Io { .. }), "{at}: {refused}");
    }
    open(dir.path());
}

#[test]
fn trap_damaged_snapshot_changes_nothing() {
    let (_dir, sender) = fresh();
    apply(&sender, 9, 100);
    sender.snapshots().build().unwrap();
    let good = bytes(&sender);
    let (dir, storage) = fresh();
    apply(&storage, 1, 5);
    for at in (0..good.len()).step_by(37) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(matches!(receive(&storage, &bad), Err(StorageError::CorruptSnapshot { .. })), "byte {at}");
        assert!(receive(&storage, &good[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(storage.kv().applied().unwrap(), Some(1));
    assert_eq!(storage.snapshots().current(), None);
    let left = std::fs::read_dir(dir.path().join("snapshots")).unwrap().count();
    assert_eq!(left, 0, "refused bytes are thrown away");
}

#[test]
fn trap_snapshots_carry_no_identity() {
    let (_dir, storage) = fresh();
    storage.identity().put("storage_uuid", b"canary-of-identity").unwrap();
    storage.log().save_vote(b"canary-of-vote".to_vec()).unwrap();
    storage.log().save_committed(b"canary-of-commit".to_vec()).unwrap();
    apply(&storage, 1, 1);
    storage.snapshots().build().unwrap();
    let bytes = bytes(&storage);
    assert!(!bytes.windows(9).any(|window| window == b"canary-of"));
}
