//! Whether a damaged write-ahead log lost what was promised, or only what nobody had synced yet.
//!
//! A power cut leaves of the bytes behind the last sync whatever the disk wrote first: pages are torn off, zeroed, or
//! there without an earlier one. RocksDB alone either refuses all of that but a short end, or stops in silence at any
//! damage, synced or not. So every batch says, in the WAL alone, how far it was known to be synced when it was written
//! ([`mark::Mark`]): a mark behind the damage that reaches past it is proof that acknowledged data is gone. Without one
//! the damage is the end of the log.
//!
//! For the last sync before the end, behind which there is no batch, a file beside the log vouches
//! ([`synced::Synced`]), unless it is an older one after a power cut: then damage to what that sync wrote passes for an
//! end.

mod fragments;
mod manifest;
mod mark;
mod progress;
mod synced;
mod tail;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod written;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use progress::{Progress, demand};
pub(crate) use tail::End;
use tail::Reader;

use crate::{StorageError, format};

/// Reads the manifest and the logs of the store in `dir` once. Call it before RocksDB opens them.
///
/// # Errors
/// [`StorageError::Corrupt`] if something is damaged that was synced.
pub(crate) fn end_of(dir: &Path) -> Result<End, StorageError> {
    let db = format::db_path(dir);
    manifest::verify(&db)?;
    let mut reader = Reader::default();
    for path in files(&db).map_err(|error| StorageError::io("list", dir, &error))? {
        let read = File::open(&path).and_then(|file| reader.read(file));
        read.map_err(|error| StorageError::io("read", &path, &error))?;
    }
    if let Some(mark) = synced::read(&db) {
        reader.vouch(mark);
    }
    match reader.lost() {
        Some(lost) => Err(corrupt(dir, lost.to_string())),
        None => Ok(reader.end()),
    }
}

fn corrupt(dir: &Path, detail: String) -> StorageError {
    StorageError::Corrupt { what: format!("the write-ahead log in {}", dir.display()), detail }
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
