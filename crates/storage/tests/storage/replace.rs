//! A store that takes the place of another, or of none.

use std::fs;
use std::path::Path;

use steeple_storage::{Inspector, Replacement, StorageError};

use crate::support::{append, apply, entries, fresh, open};

fn fill(replacement: &Replacement, applied: u64) {
    let storage = replacement.open().unwrap();
    apply(&storage, applied, 3);
    storage.identity().put("node_id", b"new").unwrap();
    storage.snapshots().build().unwrap();
}

fn node_id(dir: &Path) -> Option<Vec<u8>> {
    open(dir).identity().get("node_id").unwrap()
}

#[test]
fn a_store_takes_the_place_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("data");
    let replacement = Replacement::of_nothing(&target, Path::new("")).unwrap();
    fill(&replacement, 7);
    assert!(!target.join("FORMAT").exists());
    assert_eq!(replacement.commit().unwrap(), None);
    assert_eq!(node_id(&target), Some(b"new".to_vec()));
    assert_eq!(open(&target).kv().applied().unwrap(), Some(7));
    assert_eq!(open(&target).snapshots().current().unwrap().applied, Some(7));
}

#[test]
fn only_an_empty_directory_is_filled() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    let key = dir.path().join("sealing.key");
    fs::write(&key, "key").unwrap();
    drop(Replacement::of_nothing(dir.path(), &key).unwrap());
    let refused = Replacement::of_nothing(dir.path(), Path::new("")).err().unwrap();
    assert_eq!(refused, StorageError::NotEmpty { dir: dir.path().into(), found: "sealing.key".to_owned() });

    let (used, storage) = fresh();
    assert!(matches!(Replacement::of_nothing(used.path(), Path::new("")), Err(StorageError::InUse { .. })));
    assert!(matches!(Replacement::of_store(used.path()), Err(StorageError::InUse { .. })));
    drop(storage);
    assert!(matches!(Replacement::of_nothing(used.path(), Path::new("")), Err(StorageError::NotEmpty { .. })));
    assert!(matches!(Replacement::of_store(dir.path()), Err(StorageError::NoStore { .. })));
}

#[test]
fn the_old_store_is_kept_and_never_overwritten() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..10));
    storage.identity().put("node_id", b"old").unwrap();
    drop(storage);
    let replacement = Replacement::of_store(dir.path()).unwrap();
    fill(&replacement, 7);
    let kept = replacement.commit().unwrap().unwrap();
    assert_eq!(node_id(dir.path()), Some(b"new".to_vec()));
    assert_eq!(Inspector::open(&kept).unwrap().entries(0).unwrap().count(), 10);
    assert_eq!(Replacement::of_store(dir.path()).err(), Some(StorageError::PutAside { path: kept }));
}

#[test]
fn a_replacement_that_is_given_up_leaves_the_old_store() {
    let (dir, storage) = fresh();
    storage.identity().put("node_id", b"old").unwrap();
    drop(storage);
    let replacement = Replacement::of_store(dir.path()).unwrap();
    fill(&replacement, 7);
    drop(replacement);
    assert_eq!(node_id(dir.path()), Some(b"old".to_vec()));
    assert!(!dir.path().join("building").exists());
}

/// Every state that a crash can leave between the step and its end: each part is in its old place or in its new one.
#[test]
fn a_crash_after_the_step_is_finished_by_the_next_opening() {
    for moved in 0..=3 {
        for put_aside_next in [false, true] {
            let (dir, storage) = fresh();
            storage.identity().put("node_id", b"old").unwrap();
            drop(storage);
            let replacement = Replacement::of_store(dir.path()).unwrap();
            fill(&replacement, 7);
            // The lock goes away with the process; its files stay.
            std::mem::forget(replacement);
            fs::remove_file(dir.path().join("LOCK")).unwrap();
            let (next, replaced) = (dir.path().join("next"), dir.path().join("replaced"));
            fs::rename(dir.path().join("building"), &next).unwrap();
            fs::create_dir(&replaced).unwrap();
            for (at, part) in ["db", "snapshots", "FORMAT"].into_iter().enumerate() {
                if at < moved || at == moved && put_aside_next {
                    fs::rename(dir.path().join(part), replaced.join(part)).unwrap();
                }
                if at < moved {
                    fs::rename(next.join(part), dir.path().join(part)).unwrap();
                }
            }
            assert_eq!(node_id(dir.path()), Some(b"new".to_vec()), "{moved} parts moved");
            assert!(!next.exists());
        }
    }
}
