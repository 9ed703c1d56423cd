//! RocksDB's manifest, which names all its files and has the form of a log. RocksDB itself reads one with a damaged
//! record for ever.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::fragments::{BLOCK_BYTES, Found, Fragments};
use super::tail::fill;
use crate::StorageError;

/// Names the manifest that counts.
const CURRENT: &str = "CURRENT";

/// Checks the manifest of the database in `db`, if there is one.
///
/// # Errors
/// [`StorageError::Corrupt`], unless only the last record is cut off, as by a crash in the middle of a change.
pub(crate) fn verify(db: &Path) -> Result<(), StorageError> {
    let current = db.join(CURRENT);
    let name = match fs::read_to_string(&current) {
        Ok(name) => name,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(StorageError::io("read", &current, &error)),
    };
    let is_manifest = |name: &&str| name.strip_prefix("MANIFEST-").is_some_and(|number| number.parse::<u64>().is_ok());
    let Some(path) = name.strip_suffix('\n').filter(is_manifest).map(|name| db.join(name)) else {
        return Err(corrupt(&current, "it names no manifest"));
    };
    match File::open(&path).and_then(is_whole) {
        Ok(true) => Ok(()),
        Ok(false) => Err(corrupt(&path, "a record fails its checksum")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(corrupt(&current, "the manifest that it names is gone"))
        }
        Err(error) => Err(StorageError::io("read", &path, &error)),
    }
}

fn corrupt(path: &Path, detail: &str) -> StorageError {
    StorageError::Corrupt { what: format!("the file {}", path.display()), detail: detail.to_owned() }
}

fn is_whole(mut file: impl io::Read) -> io::Result<bool> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = fill(&mut file, &mut block)?;
        let is_last = read < BLOCK_BYTES;
        let is_intact = |found| match found {
            Found::Fragment(..) => true,
            Found::CutOff => is_last,
            Found::Damage => false,
        };
        if !Fragments::of(&block[..read]).all(is_intact) {
            return Ok(false);
        }
        if is_last {
            return Ok(true);
        }
    }
}
