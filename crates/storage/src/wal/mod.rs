//! Whether a damaged write-ahead log lost what was promised, or only what nobody had synced yet.
//!
//! A power cut leaves of the bytes behind the last sync whatever the disk wrote first: pages are torn off, zeroed, or
//! there without an earlier one. RocksDB alone either refuses all of that but a short end, or stops in silence at any
//! damage, synced or not. So every batch says, in the WAL alone, how far it was known to be synced when it was written
//! ([`Mark`]): a mark behind the damage that reaches past it is proof that acknowledged data is gone. Without one the
//! damage is the end of the log.
//!
//! What no later batch vouches for, which is the last sync before the end, passes for an end when it is damaged.

mod fragments;
mod manifest;
mod mark;
mod tail;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use mark::Mark;
pub(crate) use tail::End;
use tail::Reader;

use crate::{StorageError, format};

/// Reads the manifest and the logs of the store in `dir` once. Call it before RocksDB opens them.
///
/// # Errors
/// [`StorageError::Corrupt`] if something is damaged that was synced.
pub(crate) fn end_of(dir: &Path) -> Result<End, StorageError> {
    manifest::verify(&format::db_path(dir))?;
    let mut reader = Reader::default();
    for path in files(&format::db_path(dir)).map_err(|error| StorageError::io("list", dir, &error))? {
        let read = File::open(&path).and_then(|file| reader.read(file));
        read.map_err(|error| StorageError::io("read", &path, &error))?;
        if let Some(lost) = reader.lost() {
            return Err(StorageError::Corrupt {
                what: format!("the write-ahead log in {}", dir.display()),
                detail: format!("{lost}, found in {}", path.display()),
            });
        }
    }
    Ok(reader.end())
}

#[cfg(feature = "fuzzing")]
pub(crate) fn is_whole(log: &[u8]) -> Option<bool> {
    let mut reader = Reader::default();
    // Memory can be read.
    reader.read(log).ok()?;
    reader.lost().is_none().then(|| reader.end() == End::Whole)
}

/// In the order in which they were written: RocksDB counts them, in at least six digits.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed?,
    };
    let mut logs = Vec::new();
    for item in listed {
        let path = item?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "log")) {
            logs.push((number, path));
        }
    }
    logs.sort();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}
