//! Datastores in SQLite files.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::cells::{Cells, Value};
use crate::database::{Reader, select};
use crate::in_use::is_in_use;
use crate::table::{Column, Kind, Table};
use crate::{Database, ReadError};

/// Reads all of it. Without a log beside it the file is opened as one that nobody changes, so that nothing appears next
/// to it. With one, a server that runs or was killed left records in it, and SQLite must be let at it.
pub(crate) async fn read(path: &Path) -> Result<Database, ReadError> {
    check_header(path)?;
    let has_log = ["-wal", "-journal"].iter().any(|log| beside(path, log).metadata().is_ok_and(|log| log.len() > 0));
    let in_use = has_log && is_in_use(&beside(path, "-shm"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |source| ReadError::Sqlite { path: path.to_owned(), source };
    let connection = Connection::open_with_flags(uri(path, !has_log), flags).map_err(failed)?;
    connection.execute_batch("BEGIN").map_err(failed)?;
    Database::read(&mut SqliteReader { path: path.to_owned(), connection }, in_use).await
}

/// Its queries block, which a command that does nothing else may.
struct SqliteReader {
    path: PathBuf,
    connection: Connection,
}

impl Reader for SqliteReader {
    async fn columns(&mut self) -> Result<Vec<(String, String)>, ReadError> {
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let query = "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
                         WHERE t.type = 'table'";
            let mut statement = self.connection.prepare(query)?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(|source| self.failed(source))
    }

    async fn rows(&mut self, table: &'static Table, present: &[Column]) -> Result<Vec<Cells>, ReadError> {
        let query = select(table, present, |column| match column.kind {
            Kind::Blob => format!("CAST(\"{}\" AS BLOB)", column.name),
            // The declared type makes no difference to SQLite: a time is the text that was put in.
            Kind::Text | Kind::Time => format!("CAST(\"{}\" AS TEXT)", column.name),
            Kind::Bool | Kind::Integer => format!("\"{}\"", column.name),
        });
        let read = || -> rusqlite::Result<Vec<Cells>> {
            let mut statement = self.connection.prepare(&query)?;
            let mut found = statement.query([])?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                let values = (0..table.columns.len()).map(|at| Ok(value(row.get_ref(at)?)));
                rows.push(Cells::new(table, values.collect::<rusqlite::Result<Vec<_>>>()?));
            }
            Ok(rows)
        };
        read().map_err(|source| self.failed(source))
    }
}

impl SqliteReader {
    fn failed(&self, source: rusqlite::Error) -> ReadError {
        ReadError::Sqlite { path: self.path.clone(), source }
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        // No column that is read is a fraction.
        ValueRef::Real(number) => Value::Text(number.to_string()),
        ValueRef::Text(bytes) => match String::from_utf8(bytes.to_vec()) {
            Ok(text) => Value::Text(text),
            Err(error) => Value::Blob(error.into_bytes()),
        },
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

/// SQLite itself takes an empty file for an empty database, and a missing one is best told before.
fn check_header(path: &Path) -> Result<(), ReadError> {
    let failed = |source| ReadError::File { path: path.to_owned(), source };
    let mut header = [0; HEADER.len()];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) if header == *HEADER => Ok(()),
        Ok(()) => Err(ReadError::NotSqlite(path.to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(ReadError::NotSqlite(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A path as SQLite's URI form takes it (https://www.sqlite.org/uri.html, section 3.1).
fn uri(path: &Path, immutable: bool) -> String {
    let path = path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?mode=ro{}", if immutable { "&immutable=1" } else { "" })
}

const HEADER: &[u8; 16] = b"SQLite format 3\0";
