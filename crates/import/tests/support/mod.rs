//! Databases made of the dump.
#![allow(dead_code)] // Each test binary uses a part.

use std::path::{Path, PathBuf};

use steeple_import::{Database, KeyFile, PostgresOptions, ReadError, Source};
use tempfile::TempDir;

pub const DUMP: &str = include_str!("../data/spire-1.15.sql");

/// Of the server that wrote the dump.
pub fn keys() -> KeyFile {
    KeyFile::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys.json")).unwrap()
}

pub fn sqlite_of(sql: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("datastore.sqlite3");
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    (dir, path)
}

pub async fn read(path: &Path) -> Result<Database, ReadError> {
    Source::Sqlite(path.to_owned()).read(&PostgresOptions::default()).await
}
