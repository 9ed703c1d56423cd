//! Rows, meta and identity.

use steeple_storage::{Batch, ROW_BYTES_MAX, Row, StorageError, TABLE_MAX};

use crate::support::{apply, fresh, number, open};

fn put(table: u8, key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    batch.put(table, key, value).unwrap();
    batch
}

#[test]
fn put_get_delete_scan_and_clear() {
    let (dir, storage) = fresh();
    let kv = storage.kv();
    for key in [&b"a"[..], b"b", b"c"] {
        kv.write(put(1, key, key)).unwrap();
        kv.write(put(2, key, b"other")).unwrap();
    }
    assert_eq!(kv.get(1, b"b").unwrap(), Some(b"b".to_vec()));
    assert_eq!(kv.get(3, b"b").unwrap(), None);
    let keys = |from: &[u8], limit| kv.scan(1, from, limit).unwrap().into_iter().map(|row| row.key).collect::<Vec<_>>();
    assert_eq!(keys(b"", 9), [b"a", b"b", b"c"]);
    assert_eq!(keys(b"aa", 1), [b"b"]);
    assert!(keys(b"d", 9).is_empty());

    let mut batch = put(1, b"gone", b"");
    batch.clear();
    batch.put(TABLE_MAX, b"\xff\xff", b"new").unwrap();
    batch.delete(1, b"never there").unwrap();
    batch.meta(b"name", b"value");
    kv.write(batch).unwrap();
    let rows = || kv.view().unwrap().rows().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(rows(), [Row { table: TABLE_MAX, key: b"\xff\xff".to_vec(), value: b"new".to_vec() }]);
    let mut batch = Batch::new();
    batch.clear();
    kv.write(batch).unwrap();
    assert!(rows().is_empty());
    assert_eq!(kv.meta(b"name").unwrap(), Some(b"value".to_vec()), "meta outlives a clear");
    drop((kv, storage));
    assert_eq!(open(dir.path()).kv().meta(b"name").unwrap(), Some(b"value".to_vec()));
}

#[test]
fn limits_are_refused_by_name() {
    let mut batch = Batch::new();
    assert_eq!(batch.put(255, b"", b""), Err(StorageError::ReservedTable { table: 255, max: 254 }));
    let refused = batch.put(1, b"key", &vec![0; ROW_BYTES_MAX]);
    assert!(matches!(refused, Err(StorageError::TooLarge { max_bytes: ROW_BYTES_MAX, .. })));
    assert!(batch.is_empty());
    let (_dir, storage) = fresh();
    for key in 0..5_u8 {
        batch.put(1, &[key], &vec![0; ROW_BYTES_MAX - 1]).unwrap();
    }
    assert!(matches!(storage.kv().write(batch), Err(StorageError::TooLarge { .. })));
    assert_eq!(storage.health(), Ok(()));
}

#[test]
fn trap_a_view_is_one_instant() {
    let (_dir, storage) = fresh();
    apply(&storage, 1, 100);
    let kv = storage.kv();
    let view = kv.view().unwrap();
    apply(&storage, 2, 200);
    assert_eq!(view.applied().unwrap(), Some(1));
    assert_eq!(view.meta(b"membership").unwrap().map(|value| number(&value)), Some(1));
    let values: Vec<u64> = view.rows().map(|row| number(&row.unwrap().value)).collect();
    assert_eq!(values, vec![1; 100]);
    assert_eq!(kv.applied().unwrap(), Some(2));
}

#[test]
fn identity_is_all_or_nothing_and_separate_from_meta() {
    let (dir, storage) = fresh();
    assert_eq!(storage.identity().get("node_id").unwrap(), None);
    storage.identity().put_all(&[("node_id", b"1"), ("cluster", b"uuid")]).unwrap();
    storage.identity().put("node_id", b"2").unwrap();
    storage.log().save_vote(b"v".to_vec()).unwrap();
    drop(storage);
    let storage = open(dir.path());
    assert_eq!(storage.identity().get("node_id").unwrap(), Some(b"2".to_vec()));
    assert_eq!(storage.identity().get("cluster").unwrap(), Some(b"uuid".to_vec()));
    assert_eq!(storage.identity().get("vote").unwrap(), None);
    assert_eq!(storage.log().vote().unwrap(), Some(b"v".to_vec()));
}
