//! What every test here needs: a store in a temporary directory that does not abort the test process, and entries.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use steeple_storage::{Batch, FailPoint, FailPoints, FlushCallback, LogEntry, Options, Storage, StorageError};

pub fn options() -> Options {
    Options { on_fatal: Arc::new(|_| ()), ballast_bytes: 0, fail_points: FailPoints::default(), flush_by_hand: None }
}

/// `probe` is called at every fail point; the error that it returns is the disk's.
pub fn options_with(probe: impl Fn(FailPoint) -> std::io::Result<()> + Send + Sync + 'static) -> Options {
    Options { fail_points: FailPoints::new(probe), ..options() }
}

pub fn open(dir: &Path) -> Storage {
    Storage::open(dir, options()).unwrap()
}

/// A store in a new directory, which is gone after the test.
pub fn fresh() -> (tempfile::TempDir, Storage) {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    (dir, storage)
}

pub fn entry(index: u64, term: u64) -> LogEntry {
    LogEntry { index, term, bytes: format!("entry {index}").into_bytes() }
}

pub fn entries(indexes: impl IntoIterator<Item = u64>) -> Vec<LogEntry> {
    indexes.into_iter().map(|index| entry(index, 1)).collect()
}

/// A callback and where its answer arrives.
pub fn waiter() -> (FlushCallback, Receiver<Result<(), StorageError>>) {
    let (answer, answered) = channel();
    (Box::new(move |result| answer.send(result).unwrap_or(())), answered)
}

/// Appends and waits until the entries are durable.
pub fn append(storage: &Storage, entries: Vec<LogEntry>) {
    let (done, answered) = waiter();
    storage.log().append(entries, done).unwrap();
    answered.recv().unwrap().unwrap();
}

pub fn indexes(storage: &Storage) -> Vec<u64> {
    let read = storage.log().read(0..u64::MAX, usize::MAX).unwrap();
    read.into_iter().map(|entry| entry.index).collect()
}

/// Brings the state to `applied`: that many rows, each of which holds that number.
pub fn apply(storage: &Storage, applied: u64, rows: u32) {
    let mut batch = Batch::new();
    batch.clear();
    for row in 0..rows {
        batch.put(1, &row.to_be_bytes(), &applied.to_be_bytes()).unwrap();
    }
    batch.meta(b"membership", &applied.to_be_bytes());
    batch.applied(applied);
    storage.kv().write(batch).unwrap();
}

pub fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// The write-ahead log files of a store, oldest first.
pub fn wal_files(dir: &Path) -> Vec<PathBuf> {
    files_ending(&dir.join("db"), ".log")
}

pub fn files_ending(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = listed.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
    files.sort();
    files
}

/// The store with its files as they are now, in a new directory.
pub fn copy(dir: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_into(dir, to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The database itself, to damage what the public interface never would.
pub fn raw<T>(dir: &Path, change: impl FnOnce(&rocksdb::DB) -> T) -> T {
    let families = ["default", "raft_log", "raft_meta", "state_a", "state_b", "state_meta"];
    let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), dir.join("db"), families).unwrap();
    change(&db)
}
