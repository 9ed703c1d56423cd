//! Files that are there after a power cut: private modes, fsync of the file, then of the directory that names it.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::StorageError;

const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Creates `dir` and its missing parents, readable by the owner only.
pub(crate) fn create_dir(dir: &Path) -> Result<(), StorageError> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIR)
        .create(dir)
        .map_err(|error| StorageError::io("create directory", dir, &error))
}

/// Creates `dir` if need be and takes the group's and others' rights away if it was there with them. RocksDB creates
/// its files with the umask's mode; this directory is what keeps them private.
pub(crate) fn create_private_dir(dir: &Path) -> Result<(), StorageError> {
    create_dir(dir)?;
    std::fs::set_permissions(dir, Permissions::from_mode(PRIVATE_DIR))
        .map_err(|error| StorageError::io("restrict directory", dir, &error))
}

/// A new file that only the owner can read, emptied if it exists.
pub(crate) fn create_private_file(path: &Path) -> Result<File, StorageError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE_FILE)
        .open(path)
        .map_err(|error| StorageError::io("create", path, &error))
}

pub(crate) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| StorageError::io("sync directory", dir, &error))
}

/// Replaces `dir/name` in one step: after a crash it holds the old bytes or the new ones.
pub(crate) fn replace_file(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
    let temporary = dir.join(format!("{name}.tmp"));
    let target = dir.join(name);
    let mut file = create_private_file(&temporary)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| StorageError::io("write", &temporary, &error))?;
    std::fs::rename(&temporary, &target).map_err(|error| StorageError::io("rename", &target, &error))?;
    sync_dir(dir)
}
