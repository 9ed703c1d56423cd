//! The snapshot directory: numbered files, and one pointer that says which of them counts.
//!
//! The pointer holds the file's hash too. The greatest number never decides: a file may be complete and still be one
//! that a crash kept from becoming current.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::file::{SnapshotFile, SnapshotInfo, Staged};
use crate::db::Db;
use crate::{FailPoint, StorageError, durable};

const POINTER: &str = "CURRENT";
const POINTER_NAME: &str = "steeple-snapshot";
const SUFFIX: &str = ".snapshot";
const STAGED_SUFFIX: &str = ".part";

pub(crate) struct SnapshotFiles {
    db: Arc<Db>,
    dir: PathBuf,
    current: Mutex<Option<Current>>,
    /// The number of the next file, current or staged.
    next: AtomicU64,
}

#[derive(Clone)]
struct Current {
    path: PathBuf,
    info: SnapshotInfo,
}

impl SnapshotFiles {
    /// Reads the pointer, verifies the file that it names, and removes what no pointer names.
    pub(crate) fn open(db: &Arc<Db>) -> Result<Self, StorageError> {
        let dir = db.snapshots_path();
        let current = read_current(&dir)?;
        let (number, current) = current.map_or((0, None), |(number, current)| (number, Some(current)));
        let files = Self { db: Arc::clone(db), dir, current: Mutex::new(current), next: AtomicU64::new(number + 1) };
        files.remove_others()?;
        Ok(files)
    }

    pub(crate) fn info(&self) -> Option<SnapshotInfo> {
        self.current.lock().as_ref().map(|current| current.info.clone())
    }

    /// Under the lock, so that the file cannot be replaced and deleted between its name and its opening.
    pub(crate) fn open_current(&self) -> Result<Option<SnapshotFile>, StorageError> {
        let current = self.current.lock();
        current.as_ref().map(|current| SnapshotFile::reopen(&current.path, current.info.clone())).transpose()
    }

    /// Whether `path` is in this directory, and so was published here.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        path.parent() == Some(self.dir.as_path())
    }

    /// A new name for a file that is not current.
    pub(crate) fn stage(&self) -> PathBuf {
        self.dir.join(format!("{:020}{STAGED_SUFFIX}", self.next.fetch_add(1, Relaxed)))
    }

    /// Makes a synced file current: its name, then the pointer, then the end of the older ones. A failure on the way
    /// is final, because it is not known which of the two the disk will show.
    pub(crate) fn publish(&self, staged: Staged, info: SnapshotInfo) -> Result<PathBuf, StorageError> {
        let db = &self.db;
        db.health.check()?;
        let number = self.next.fetch_add(1, Relaxed);
        let path = self.dir.join(file_name(number));
        let fatal = |error| db.health.fail(error);
        let mut current = self.current.lock();
        staged.adopt(&path).map_err(fatal)?;
        durable::sync_dir(&self.dir).map_err(fatal)?;
        db.reach(FailPoint::BeforeSnapshotPointer)?;
        let pointer = Pointer { number, sha256: info.sha256 };
        durable::replace_file(&self.dir, POINTER, pointer.line().as_bytes()).map_err(fatal)?;
        db.reach(FailPoint::AfterSnapshotPointer)?;
        let older = current.replace(Current { path: path.clone(), info });
        if let Some(older) = older {
            // It stays readable for who has it open; if it cannot be unlinked now, the next start does it.
            let _ = fs::remove_file(older.path);
        }
        Ok(path)
    }

    fn remove_others(&self) -> Result<(), StorageError> {
        let keep = self.current.lock().as_ref().map(|current| current.path.clone());
        let listed = |error| StorageError::io("list", &self.dir, &error);
        for entry in fs::read_dir(&self.dir).map_err(listed)? {
            let path = entry.map_err(listed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let ours = [SUFFIX, STAGED_SUFFIX, ".tmp"].iter().any(|suffix| name.ends_with(suffix));
            if ours && Some(&path) != keep.as_ref() {
                fs::remove_file(&path).map_err(|error| StorageError::io("remove", &path, &error))?;
            }
        }
        Ok(())
    }
}

/// What the pointer file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pointer {
    number: u64,
    sha256: [u8; 32],
}

impl Pointer {
    fn line(&self) -> String {
        let hash: String = self.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{POINTER_NAME} {} {hash}\n", self.number)
    }

    fn parse(line: &str) -> Option<Self> {
        let (number, hash) = line.strip_prefix(POINTER_NAME)?.strip_prefix(' ')?.strip_suffix('\n')?.split_once(' ')?;
        if hash.len() != 64 || !hash.is_ascii() {
            return None;
        }
        let mut sha256 = [0; 32];
        for (at, byte) in sha256.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self { number: number.parse().ok()?, sha256 })
    }
}

/// The current snapshot of a directory that is not opened.
pub(crate) fn inspect(dir: &Path) -> Result<Option<SnapshotInfo>, StorageError> {
    Ok(read_current(dir)?.map(|(_, current)| current.info))
}

/// The snapshot that the pointer names, verified, and its number.
fn read_current(dir: &Path) -> Result<Option<(u64, Current)>, StorageError> {
    let Some(pointer) = read_pointer(dir)? else { return Ok(None) };
    let path = dir.join(file_name(pointer.number));
    let file = SnapshotFile::verify(&path)?;
    if file.info().sha256 != pointer.sha256 {
        let detail = "its hash is not the one that was made current".to_owned();
        return Err(StorageError::CorruptSnapshot { path, detail });
    }
    Ok(Some((pointer.number, Current { path, info: file.info().clone() })))
}

fn read_pointer(dir: &Path) -> Result<Option<Pointer>, StorageError> {
    let path = dir.join(POINTER);
    match fs::read(&path) {
        Ok(line) => match Pointer::parse(&String::from_utf8_lossy(&line)) {
            Some(pointer) => Ok(Some(pointer)),
            None => Err(StorageError::CorruptSnapshot { path, detail: "the pointer cannot be read".to_owned() }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("read", &path, &error)),
    }
}

fn file_name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_round_trips_and_nothing_else_parses() {
        let pointer = Pointer { number: 7, sha256: std::array::from_fn(|at| at as u8) };
        assert_eq!(Pointer::parse(&pointer.line()), Some(pointer));
        for cut in 0..pointer.line().len() {
            assert_eq!(Pointer::parse(&pointer.line()[..cut]), None, "{cut}");
        }
        assert_eq!(Pointer::parse(&format!("{POINTER_NAME} 1 {}\n", "é".repeat(32))), None);
    }
}
