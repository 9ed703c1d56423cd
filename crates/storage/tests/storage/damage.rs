//! Disks that change bits: what is read is right or refused by name, never skipped.

use std::path::Path;

use steeple_storage::{Inspector, LogEntry, Storage, StorageError};

use crate::support::{append, apply, copy, entries, files_ending, fresh, open, options, raw, wal_files};

fn refusal(dir: &Path) -> StorageError {
    Storage::open(dir, options()).err().unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x04;
    std::fs::write(path, bytes).unwrap();
}

/// Puts what our own checksum must find into a database that RocksDB finds whole.
fn put(dir: &Path, family: &str, key: &[u8], change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    raw(dir, |db| {
        let family = db.cf_handle(family).unwrap();
        let old = db.get_cf(&family, key).unwrap().unwrap();
        match change(old) {
            Some(new) => db.put_cf(&family, key, new).unwrap(),
            None => db.delete_cf(&family, key).unwrap(),
        }
    });
}

fn flipped(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    *bytes.last_mut().unwrap() ^= 1;
    Some(bytes)
}

#[test]
fn trap_unreadable_entry_stops_the_start() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..10));
    drop(storage);
    put(dir.path(), "raft_log", &4_u64.to_be_bytes(), flipped);
    assert!(matches!(refusal(dir.path()), StorageError::CorruptLogEntry { index: 4, .. }));
}

#[test]
fn trap_missing_entry_stops_the_start() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..10));
    storage.log().purge_to(2, vec![1]).unwrap();
    drop(storage);
    let behind_the_marker = copy(dir.path());
    put(dir.path(), "raft_log", &5_u64.to_be_bytes(), |_| None);
    assert_eq!(refusal(dir.path()), StorageError::MissingLogEntry { index: 5 });
    put(behind_the_marker.path(), "raft_log", &3_u64.to_be_bytes(), |_| None);
    assert_eq!(refusal(behind_the_marker.path()), StorageError::MissingLogEntry { index: 3 });
}

#[test]
fn an_entry_that_goes_bad_later_is_named_by_the_read() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..10));
    drop(storage);
    // The same value under two indexes: intact, and yet not what belongs there.
    let moved =
        raw(dir.path(), |db| db.get_cf(&db.cf_handle("raft_log").unwrap(), 3_u64.to_be_bytes()).unwrap().unwrap());
    put(dir.path(), "raft_log", &7_u64.to_be_bytes(), |_| Some(moved));
    assert!(matches!(refusal(dir.path()), StorageError::CorruptLogEntry { index: 7, .. }));
}

#[test]
fn trap_unreadable_vote_stops_the_start() {
    for (family, key) in [("raft_meta", &b"vote"[..]), ("raft_meta", b"identity/node_id"), ("state_meta", b"\0applied")]
    {
        let (dir, storage) = fresh();
        storage.log().save_vote(b"vote".to_vec()).unwrap();
        storage.identity().put("node_id", b"1").unwrap();
        apply(&storage, 1, 1);
        drop(storage);
        put(dir.path(), family, key, flipped);
        assert!(matches!(refusal(dir.path()), StorageError::Corrupt { .. }), "{family}");
    }
}

#[test]
fn trap_corrupted_middle_of_wal_refuses_to_open() {
    let (dir, storage) = fresh();
    for index in 0..200 {
        append(&storage, vec![LogEntry { index, term: 1, bytes: vec![index as u8; 1_000] }]);
    }
    drop(storage);
    let [wal] = &wal_files(dir.path())[..] else { panic!("more than one WAL") };
    let name = wal.file_name().unwrap();
    let length = wal.metadata().unwrap().len() as usize;
    // Each entry was synced before the next one, which says so.
    let last_record = length - 1_000 - 200;
    for at in (0..last_record).step_by(3_067).chain(last_record - 2_000..last_record) {
        let copied = copy(dir.path());
        flip(&copied.path().join("db").join(name), at);
        let refused = refusal(copied.path());
        assert!(matches!(refused, StorageError::Corrupt { .. }), "byte {at}: {refused}");
        assert!(refused.to_string().contains("rejoin"), "says what to do: {refused}");
    }
    // For the last one a file vouches that a power cut may take. Without it the log ends there, which the leader's
    // progress then gives away.
    for at in (length - 900..length).step_by(97) {
        let copied = copy(dir.path());
        flip(&copied.path().join("db").join(name), at);
        assert!(matches!(refusal(copied.path()), StorageError::Corrupt { .. }), "byte {at}");
        std::fs::remove_file(copied.path().join("db/SYNCED")).unwrap();
        let read = open(copied.path()).log().read(0..u64::MAX, usize::MAX).unwrap();
        assert_eq!(read.len(), 199, "byte {at}");
        assert!(read.iter().enumerate().all(|(at, entry)| entry.bytes == vec![at as u8; 1_000]));
    }
}

#[test]
fn trap_a_flipped_bit_in_a_table_file_is_refused_or_harmless() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..50));
    apply(&storage, 49, 50);
    storage.log().save_vote(b"vote".to_vec()).unwrap();
    drop(storage);
    // Recovery writes the WAL out to table files.
    drop(open(dir.path()));
    let tables = files_ending(&dir.path().join("db"), ".sst");
    assert!(tables.len() >= 3, "{tables:?}");
    let mut refused = 0;
    for table in &tables {
        let length = table.metadata().unwrap().len() as usize;
        for at in (0..length).step_by(length / 12 + 1) {
            let copied = copy(dir.path());
            flip(&copied.path().join("db").join(table.file_name().unwrap()), at);
            let read = Storage::open(copied.path(), options()).and_then(|storage| {
                let rows = storage.kv().view()?.rows().collect::<Result<Vec<_>, _>>()?;
                Ok((rows.len(), storage.log().read(0..u64::MAX, usize::MAX)?, storage.log().vote()?))
            });
            match read {
                Err(StorageError::Corrupt { .. }) => refused += 1,
                Err(other) => panic!("byte {at} of {}: {other}", table.display()),
                Ok(read) => assert_eq!(read, (50, entries(0..50), Some(b"vote".to_vec())), "byte {at}"),
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn what_was_acknowledged_may_not_be_cut_off_the_wal() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..20));
    storage.log().save_vote(b"vote".to_vec()).unwrap();
    drop(storage);
    let [wal] = &wal_files(dir.path())[..] else { panic!("more than one WAL") };
    let length = wal.metadata().unwrap().len();
    let refuses = |copied: tempfile::TempDir, what: &str| {
        assert!(matches!(refusal(copied.path()), StorageError::Corrupt { .. }), "{what}");
        assert!(matches!(Inspector::open(copied.path()).err(), Some(StorageError::Corrupt { .. })), "{what}");
    };
    for kept in [0, length / 2, length - 1] {
        let copied = copy(dir.path());
        let shorter = copied.path().join("db").join(wal.file_name().unwrap());
        std::fs::OpenOptions::new().write(true).open(shorter).unwrap().set_len(kept).unwrap();
        refuses(copied, &format!("{kept} of {length} bytes"));
    }
    let copied = copy(dir.path());
    std::fs::remove_file(copied.path().join("db").join(wal.file_name().unwrap())).unwrap();
    refuses(copied, "no file");
    // A word that is damaged itself is none.
    let copied = copy(dir.path());
    flip(&copied.path().join("db/SYNCED"), 9);
    assert_eq!(open(copied.path()).log().vote().unwrap(), Some(b"vote".to_vec()));
}

/// Its tables, and which of them count, are in a file of RocksDB's own that has the form of its logs. RocksDB alone
/// reads a damaged one for ever.
#[test]
fn trap_a_flipped_bit_in_the_files_that_name_the_others_is_refused_or_harmless() {
    let (dir, storage) = fresh();
    append(&storage, entries(0..50));
    storage.log().save_vote(b"vote".to_vec()).unwrap();
    drop(storage);
    // Recovery writes the WAL out to a table file, and says so at the end of the manifest.
    let storage = open(dir.path());
    apply(&storage, 49, 50);
    append(&storage, entries(50..60));
    drop(storage);
    let mut files = files_ending(&dir.path().join("db"), "CURRENT");
    let listed = std::fs::read_dir(dir.path().join("db")).unwrap().map(|file| file.unwrap().path());
    files.extend(listed.filter(|path| path.to_string_lossy().contains("/MANIFEST-")));
    assert_eq!(files.len(), 2, "{files:?}");
    let mut refused = 0;
    for file in &files {
        let length = file.metadata().unwrap().len() as usize;
        for at in (0..length).step_by(length / 60 + 1) {
            let copied = copy(dir.path());
            flip(&copied.path().join("db").join(file.file_name().unwrap()), at);
            match Storage::open(copied.path(), options()) {
                Err(StorageError::Corrupt { .. }) => refused += 1,
                Err(other) => panic!("byte {at} of {}: {other}", file.display()),
                Ok(storage) => {
                    let rows = storage.kv().view().unwrap().rows().count();
                    let log = storage.log().read(0..u64::MAX, usize::MAX).unwrap();
                    let read = (rows, log, storage.log().vote().unwrap());
                    assert_eq!(read, (50, entries(0..60), Some(b"vote".to_vec())), "byte {at} of {}", file.display());
                }
            }
        }
    }
    assert!(refused > 30, "{refused}");
}
