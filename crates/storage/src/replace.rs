//! A store that is built beside the one of a directory and takes its place in one step, for restoring and recovering.
//!
//! ```text
//!   building/   a store of its own, being filled; nobody reads it
//!   next/       the same, complete: this rename is the step
//!   replaced/   the store that was there before, kept for people
//! ```
//!
//! A crash before the step leaves the old store, or none; after it, the next one who opens the directory finishes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::format::{self, DirLock, FORMAT_FILE};
use crate::{Options, Storage, StorageError, durable};

const BUILDING: &str = "building";
const NEXT: &str = "next";
const REPLACED: &str = "replaced";
/// In this order: without `FORMAT` no store is opened, so the last one is the one that opens the door again.
const PARTS: [&str; 3] = ["db", "snapshots", FORMAT_FILE];
/// What an empty volume may hold.
const NOTHING_YET: [&str; 3] = [format::LOCK_FILE, BUILDING, "lost+found"];

/// Holds the directory's lock, so no server starts meanwhile. Dropped before [`Replacement::commit`], nothing changed.
pub struct Replacement {
    dir: PathBuf,
    _lock: DirLock,
}

impl Replacement {
    /// For a directory without a store. `beside` may lie in it all the same: the sealing key, if people keep it there.
    ///
    /// # Errors
    /// [`StorageError::InUse`], and [`StorageError::NotEmpty`] for a directory that holds anything.
    pub fn of_nothing(dir: &Path, beside: &Path) -> Result<Self, StorageError> {
        let replacement = Self::begin(dir)?;
        let listed = |error| StorageError::io("list", dir, &error);
        for item in fs::read_dir(dir).map_err(listed)? {
            let path = item.map_err(listed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !NOTHING_YET.contains(&name.as_str()) && path != beside {
                return Err(StorageError::NotEmpty { dir: dir.to_path_buf(), found: name });
            }
        }
        Ok(replacement)
    }

    /// For the directory of a stopped server. The store that it holds can be looked at with an [`crate::Inspector`].
    ///
    /// # Errors
    /// [`StorageError::InUse`], [`StorageError::NoStore`], and [`StorageError::PutAside`] while the store that an
    /// earlier replacement put aside is still there.
    pub fn of_store(dir: &Path) -> Result<Self, StorageError> {
        if !dir.exists() || format::read_format(dir)?.is_none() && !dir.join(NEXT).exists() {
            return Err(StorageError::NoStore { dir: dir.to_path_buf() });
        }
        let replacement = Self::begin(dir)?;
        let replaced = dir.join(REPLACED);
        if replaced.exists() {
            return Err(StorageError::PutAside { path: replaced });
        }
        Ok(replacement)
    }

    fn begin(dir: &Path) -> Result<Self, StorageError> {
        durable::create_dir(dir)?;
        let lock = format::lock(dir)?;
        settle(dir)?;
        let replacement = Self { dir: dir.to_path_buf(), _lock: lock };
        remove(&replacement.building())?;
        Ok(replacement)
    }

    /// The empty store to fill. Every handle on it must be dropped before [`Replacement::commit`].
    pub fn open(&self) -> Result<Storage, StorageError> {
        Storage::open(&self.building(), Options { ballast_bytes: 0, ..Options::default() })
    }

    /// Puts the new store in force. The old one, if there was one, is kept in the directory that is returned.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when a handle on the new store is left; nothing changed then.
    pub fn commit(self) -> Result<Option<PathBuf>, StorageError> {
        let building = self.building();
        drop(format::lock(&building)?);
        rename(&building, &self.dir.join(NEXT))?;
        durable::sync_dir(&self.dir)?;
        settle(&self.dir)?;
        Ok(Some(self.dir.join(REPLACED)).filter(|replaced| replaced.exists()))
    }

    fn building(&self) -> PathBuf {
        self.dir.join(BUILDING)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After a commit there is none; what cannot be removed now is removed by the next attempt.
        let _ = remove(&self.building());
    }
}

/// Finishes a replacement that was decided. The caller holds the directory's lock.
pub(crate) fn settle(dir: &Path) -> Result<(), StorageError> {
    let next = dir.join(NEXT);
    if !next.exists() {
        return Ok(());
    }
    let replaced = dir.join(REPLACED);
    for part in PARTS {
        let (new, place) = (next.join(part), dir.join(part));
        if !new.exists() {
            continue;
        }
        if place.exists() {
            durable::create_private_dir(&replaced)?;
            rename(&place, &replaced.join(part))?;
            durable::sync_dir(&replaced)?;
        }
        rename(&new, &place)?;
        durable::sync_dir(dir)?;
    }
    remove(&next)?;
    durable::sync_dir(dir)
}

fn rename(from: &Path, to: &Path) -> Result<(), StorageError> {
    fs::rename(from, to).map_err(|error| StorageError::io("rename", from, &error))
}

fn remove(dir: &Path) -> Result<(), StorageError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StorageError::io("remove", dir, &error)),
        _ => Ok(()),
    }
}
