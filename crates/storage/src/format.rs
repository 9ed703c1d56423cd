//! The data directory: who holds it, and which format it has.
//!
//! ```text
//!   LOCK        flock of the running server, with its process id for the error of the second one
//!   FORMAT      one line, written before anything else
//!   BALLAST     room that an operator can give back
//!   db/         RocksDB
//!   snapshots/  snapshot files and the pointer to the current one
//!   building/ next/ replaced/   see `replace`
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::{StorageError, durable, replace};

/// The format that this release writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const FORMAT_FILE: &str = "FORMAT";
const FORMAT_NAME: &str = "steeple-store";
/// A longer format line is not ours; reading stops there.
const FORMAT_LINE_BYTES_MAX: u64 = 64;
pub(crate) const LOCK_FILE: &str = "LOCK";
/// A process id is shorter.
const HOLDER_BYTES_MAX: u64 = 32;

/// A server holds the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse {
    pub process: Option<u32>,
}

/// A data directory that this process may write to. Dropping it lets the next process in.
pub(crate) struct DataDir {
    dir: PathBuf,
    _lock: DirLock,
}

/// Unlocks by name when it is dropped: closing the descriptor alone leaves the lock with a child process that is
/// between its fork and its exec (flock(2)).
pub(crate) struct DirLock(File);

impl DataDir {
    /// Creates the directory with mode 0700 if it is missing, takes the lock, and checks or writes the format.
    ///
    /// An existing directory keeps its mode, because it may be a volume root that belongs to somebody else; what lies
    /// in it is private in either case.
    pub(crate) fn open(dir: &Path) -> Result<Self, StorageError> {
        durable::create_dir(dir)?;
        let lock = lock(dir)?;
        replace::settle(dir)?;
        match read_format(dir)? {
            Some(_) => {}
            None if db_path(dir).exists() => {
                return Err(StorageError::ForeignFormat { dir: dir.to_path_buf(), found: "db/ without FORMAT".into() });
            }
            None => durable::replace_file(dir, FORMAT_FILE, format!("{FORMAT_NAME} {FORMAT}\n").as_bytes())?,
        }
        durable::create_private_dir(&db_path(dir))?;
        durable::create_private_dir(&snapshots_path(dir))?;
        durable::sync_dir(dir)?;
        Ok(Self { dir: dir.to_path_buf(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked by the close that follows.
        let _ = self.0.unlock();
    }
}

pub(crate) fn db_path(dir: &Path) -> PathBuf {
    dir.join("db")
}

pub(crate) fn snapshots_path(dir: &Path) -> PathBuf {
    dir.join("snapshots")
}

/// The format of the store in `dir`, `None` when there is no store, an error when it is not ours or too new.
pub(crate) fn read_format(dir: &Path) -> Result<Option<u32>, StorageError> {
    let path = dir.join(FORMAT_FILE);
    let mut line = Vec::new();
    match File::open(&path) {
        Ok(file) => {
            let read = file.take(FORMAT_LINE_BYTES_MAX).read_to_end(&mut line);
            read.map_err(|error| StorageError::io("read", &path, &error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("read", &path, &error)),
    }
    match parse_format(&String::from_utf8_lossy(&line)) {
        None => Err(StorageError::ForeignFormat { dir: dir.to_path_buf(), found: "unknown FORMAT file".into() }),
        Some(found) if found > FORMAT => {
            Err(StorageError::NewerFormat { dir: dir.to_path_buf(), found, supported: FORMAT })
        }
        Some(found) => Ok(Some(found)),
    }
}

fn parse_format(line: &str) -> Option<u32> {
    let version = line.strip_prefix(FORMAT_NAME)?.strip_prefix(' ')?.strip_suffix('\n')?;
    version.parse().ok().filter(|version| *version > 0)
}

pub(crate) fn lock(dir: &Path) -> Result<DirLock, StorageError> {
    let path = dir.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| StorageError::io("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StorageError::InUse { dir: dir.to_path_buf(), holder: read_holder(file) });
        }
        Err(TryLockError::Error(error)) => return Err(StorageError::io("lock", &path, &error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|error| StorageError::io("write", &path, &error))?;
    Ok(DirLock(file))
}

/// Whether a server runs on the directory. Nothing is written, and whoever starts meanwhile finds the lock taken for as
/// long as this looks at it.
pub(crate) fn in_use(dir: &Path) -> Result<Option<InUse>, StorageError> {
    let path = dir.join(LOCK_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("open", &path, &error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(InUse { process: read_holder(file) })),
        Err(TryLockError::Error(error)) => Err(StorageError::io("lock", &path, &error)),
    }
}

/// The process id only improves a message; without it the answer is the same.
fn read_holder(lock: File) -> Option<u32> {
    let mut holder = String::new();
    lock.take(HOLDER_BYTES_MAX).read_to_string(&mut holder).ok()?;
    holder.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_directory_is_told_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(in_use(dir.path()).unwrap(), None);
        assert!(!dir.path().join(LOCK_FILE).exists());
        let held = lock(dir.path()).unwrap();
        assert_eq!(in_use(dir.path()).unwrap(), Some(InUse { process: Some(std::process::id()) }));
        drop(held);
        assert_eq!(in_use(dir.path()).unwrap(), None);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn a_dropped_lock_is_free_even_while_a_forked_child_holds_its_descriptor() {
        let dir = tempfile::tempdir().unwrap();
        let first = lock(dir.path()).unwrap();
        let _held_by_a_child = first.0.try_clone().unwrap();
        assert!(matches!(lock(dir.path()), Err(StorageError::InUse { .. })));
        drop(first);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn format_line() {
        assert_eq!(parse_format("steeple-store 1\n"), Some(1));
        for foreign in ["", "steeple-store", "steeple-store 0\n", "steeple-store 1", "other 1\n", "steeple-store x\n"] {
            assert_eq!(parse_format(foreign), None, "{foreign:?}");
        }
    }
}
