//! Looking into a directory without changing it.

use std::collections::BTreeMap;

use steeple_storage::{Inspector, Purged, StorageError, Summary};

use crate::support::{append, apply, entries, entry, fresh, open, raw};

#[test]
fn shows_what_a_stopped_server_left() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..10));
    storage.log().save_vote(b"vote".to_vec()).unwrap();
    storage.log().save_committed(b"committed".to_vec()).unwrap();
    storage.log().purge_to(3, b"id".to_vec()).unwrap();
    storage.identity().put("node_id", b"1").unwrap();
    apply(&storage, 7, 2);
    drop(storage);

    let inspector = Inspector::open(dir.path()).unwrap();
    let expected = Summary {
        format: 1,
        identity: BTreeMap::from([("node_id".to_owned(), b"1".to_vec())]),
        vote: Some(b"vote".to_vec()),
        committed: Some(b"committed".to_vec()),
        purged: Some(Purged { index: 3, id: b"id".to_vec() }),
        applied: Some(7),
    };
    assert_eq!(inspector.summary().unwrap(), expected);
    let read: Vec<_> = inspector.entries(0).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(read, entries(4..10));
    assert_eq!(inspector.entries(8).unwrap().count(), 2);
    drop(inspector);
    open(dir.path());
}

#[test]
fn a_damaged_entry_is_named_and_the_walk_goes_on() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..5));
    drop(storage);
    raw(dir.path(), |db| db.put_cf(&db.cf_handle("raft_log").unwrap(), 2_u64.to_be_bytes(), b"junk").unwrap());
    let inspector = Inspector::open(dir.path()).unwrap();
    let read: Vec<_> = inspector.entries(0).unwrap().collect();
    assert_eq!(read.len(), 5);
    assert!(matches!(read[2], Err(StorageError::CorruptLogEntry { index: 2, .. })));
    assert_eq!(read[3], Ok(entry(3, 1)));
}

#[test]
fn a_directory_without_a_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let refused = Inspector::open(dir.path()).err().unwrap();
    assert_eq!(refused, StorageError::NoStore { dir: dir.path().to_path_buf() });
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
