//! One snapshot file: complete and checked, or still arriving.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::codec::{DecodeError, Decoder, Totals};
use crate::{StorageError, durable};

/// The longest snapshot that is accepted from a peer: 16 times what a million entries need, and less than what fills
/// an ordinary volume before the sender is found to be broken.
pub const SNAPSHOT_BYTES_MAX: u64 = 16 << 30;

/// What a snapshot holds, read from the snapshot itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The applied index of the state; `None` before the first.
    pub applied: Option<u64>,
    /// The caller's meta values at the same instant as the rows.
    pub meta: BTreeMap<Vec<u8>, Vec<u8>>,
    pub rows: u64,
    pub size_bytes: u64,
    /// Over the whole file but its last frame, which holds it.
    pub sha256: [u8; 32],
}

/// A complete snapshot whose every checksum was verified. Reading it gives the bytes that a peer's
/// [`IncomingSnapshot`] takes; it stays readable when a newer one becomes current.
#[derive(Debug)]
pub struct SnapshotFile {
    info: SnapshotInfo,
    file: File,
    path: PathBuf,
    /// Not current yet: the file goes away with this value unless it is adopted.
    staged: Option<Staged>,
}

/// A file that is deleted on drop.
#[derive(Debug)]
pub(crate) struct Staged(PathBuf);

/// A snapshot that a peer is sending. Dropping it before the end throws the bytes away.
#[derive(Debug)]
pub struct IncomingSnapshot {
    file: File,
    staged: Staged,
    size_bytes: u64,
}

impl SnapshotInfo {
    pub(crate) fn new(applied: Option<u64>, meta: BTreeMap<Vec<u8>, Vec<u8>>, totals: Totals) -> Self {
        Self { applied, meta, rows: totals.rows, size_bytes: totals.size_bytes, sha256: totals.sha256 }
    }
}

impl SnapshotFile {
    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    /// Opens and checks the file at `path` from its first byte to its last.
    pub(crate) fn verify(path: &Path) -> Result<Self, StorageError> {
        let file = File::open(path).map_err(|error| StorageError::io("open", path, &error))?;
        Self::verify_open(file, path.to_path_buf(), None)
    }

    fn verify_open(mut file: File, path: PathBuf, staged: Option<Staged>) -> Result<Self, StorageError> {
        file.rewind().map_err(|error| StorageError::io("read", &path, &error))?;
        let verified = Decoder::begin(BufReader::new(&file)).and_then(Decoder::verify);
        let (applied, meta, totals) = verified.map_err(|error| refuse(&path, error))?;
        file.rewind().map_err(|error| StorageError::io("read", &path, &error))?;
        Ok(Self { info: SnapshotInfo::new(applied, meta, totals), file, path, staged })
    }

    /// A second reader of a file that was verified before.
    pub(crate) fn reopen(path: &Path, info: SnapshotInfo) -> Result<Self, StorageError> {
        let file = File::open(path).map_err(|error| StorageError::io("open", path, &error))?;
        Ok(Self { info, file, path: path.to_path_buf(), staged: None })
    }

    /// The rows, from the beginning of the file whatever was read of it before.
    pub(crate) fn decoder(&mut self) -> Result<Decoder<BufReader<&File>>, StorageError> {
        self.file.rewind().map_err(|error| StorageError::io("read", &self.path, &error))?;
        Decoder::begin(BufReader::new(&self.file)).map_err(|error| refuse(&self.path, error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn staged_mut(&mut self) -> &mut Option<Staged> {
        &mut self.staged
    }
}

impl Read for SnapshotFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl IncomingSnapshot {
    pub(crate) fn create(path: PathBuf) -> Result<Self, StorageError> {
        let file = durable::create_private_file(&path)?;
        Ok(Self { file, staged: Staged(path), size_bytes: 0 })
    }

    /// Adds the next bytes of the file.
    ///
    /// # Errors
    /// [`StorageError::SnapshotTooLarge`] above [`SNAPSHOT_BYTES_MAX`].
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), StorageError> {
        self.size_bytes = self.size_bytes.saturating_add(chunk.len() as u64);
        if self.size_bytes > SNAPSHOT_BYTES_MAX {
            return Err(StorageError::SnapshotTooLarge { max_bytes: SNAPSHOT_BYTES_MAX });
        }
        self.file.write_all(chunk).map_err(|error| StorageError::io("write", &self.staged.0, &error))
    }

    /// Syncs the file and checks every frame, the row count and the hash. Nothing of it is used before that.
    ///
    /// # Errors
    /// [`StorageError::CorruptSnapshot`]; the bytes are gone then.
    pub fn finish(self) -> Result<SnapshotFile, StorageError> {
        let path = self.staged.0.clone();
        self.file.sync_all().map_err(|error| StorageError::io("sync", &path, &error))?;
        SnapshotFile::verify_open(self.file, path, Some(self.staged))
    }
}

impl Staged {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps the file, under the name `target`.
    pub(crate) fn adopt(self, target: &Path) -> Result<(), StorageError> {
        // On success the old name is gone, so that the drop that follows finds nothing.
        std::fs::rename(&self.0, target).map_err(|error| StorageError::io("rename", target, &error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Leftovers are also removed at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) fn refuse(path: &Path, error: DecodeError) -> StorageError {
    match error {
        DecodeError::Read(error) => StorageError::io("read", path, &error),
        DecodeError::Invalid(detail) => StorageError::CorruptSnapshot { path: path.to_path_buf(), detail },
    }
}
