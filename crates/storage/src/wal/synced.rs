//! What the last sync reached, beside the log: no batch behind it vouches for it yet.
//!
//! The file is not synced with the log, so that after a power cut it may be an older one. It never promises too much.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::mark::{self, Mark};
use crate::{StorageError, checked, durable};

const NAME: &str = "SYNCED";

/// Open for as long as the store is.
pub(crate) struct Synced {
    file: File,
}

impl Synced {
    /// Takes the place of what an earlier opening left.
    pub(crate) fn begin(db: &Path, mark: Mark) -> Result<Self, StorageError> {
        durable::replace_file(db, NAME, &encode(mark))?;
        let path = path(db);
        let opened = File::options().write(true).open(&path);
        Ok(Self { file: opened.map_err(|error| StorageError::io("open", &path, &error))? })
    }

    /// A mark that cannot be written stays an older one, which harms nothing.
    pub(crate) fn put(&self, mark: Mark) {
        let _ = self.file.write_all_at(&encode(mark), 0);
    }
}

/// `None` where there is none, or where it is damaged itself.
pub(crate) fn read(db: &Path) -> Option<Mark> {
    let mut stored = Vec::new();
    File::open(path(db)).ok()?.take(BYTES_MAX).read_to_end(&mut stored).ok()?;
    let content = checked::open(NAME.as_bytes(), &stored).ok()?;
    Mark::decode(&content)
}

fn encode(mark: Mark) -> Vec<u8> {
    checked::seal(NAME.as_bytes(), &mark.encode())
}

fn path(db: &Path) -> PathBuf {
    db.join(NAME)
}

/// More than it ever has.
const BYTES_MAX: u64 = 2 * mark::BYTES as u64;
