//! Why an import cannot begin, in words that say what to do next.

use std::io;
use std::path::PathBuf;

use steeple_core::TrustDomain;

use crate::table::{SCHEMA_MAX, SCHEMA_MIN};

/// The text behind `-from` names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("{0:?} names no datastore: use sqlite:FILE or postgres://USER:PASSWORD@HOST/DATABASE")]
    Unknown(String),
    #[error("MySQL datastores cannot be read: copy the data to PostgreSQL first (docs/migration.md)")]
    MySql,
    /// Without the text itself, which may hold a password.
    #[error("the PostgreSQL URL cannot be read: {0}")]
    Url(String),
}

/// The datastore could not be read. Nothing was changed anywhere.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot open {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is no SQLite database: name the file that connection_string names", .0.display())]
    NotSqlite(PathBuf),
    #[error("{} cannot be read: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("the PostgreSQL database cannot be read: {0}")]
    Postgres(String),
    #[error("the roots for TLS with the database cannot be used: {0}")]
    Roots(String),
    #[error("this is no datastore of a SPIRE server: it has no table {0}")]
    NotSpire(&'static str),
    #[error(
        "the datastore has schema version {found}, and versions {SCHEMA_MIN} to {SCHEMA_MAX} (SPIRE 1.8 to 1.15) can \
         be read: let SPIRE 1.14 or 1.15 migrate it first, or use a Steeple that knows the version"
    )]
    Version { found: i64 },
    #[error("table {table} has more than {rows_max} rows: remove what is stale there first")]
    TooManyRows { table: &'static str, rows_max: usize },
    #[error("table {table} of the datastore has no column {column}, which schema version {schema_version} has")]
    NoColumn { table: &'static str, column: &'static str, schema_version: u32 },
    #[error("column {column} of table {table} holds {found}: the database is damaged, or was changed by hand")]
    Cell { table: &'static str, column: &'static str, found: String },
}

/// A file of SPIRE's disk key manager cannot be used. Never with the content.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has more than {bytes_max} bytes: it is no keys.json of SPIRE's disk key manager", path.display())]
    TooLong { path: PathBuf, bytes_max: usize },
    #[error(
        "{} is no keys.json of SPIRE's disk key manager, or is damaged at line {line}, column {column}: name the file \
         that keys_path names, or leave -keys out and see docs/migration.md",
        path.display()
    )]
    Json { path: PathBuf, line: usize, column: usize },
    #[error(
        "key {id:?} in {} is damaged or of another kind: EC P-256, EC P-384, RSA 2048 and RSA 4096 can be used; \
         without the key, leave -keys out and see docs/migration.md",
        path.display()
    )]
    Key { path: PathBuf, id: String },
}

/// The datastore is not the one for this server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error(
        "the datastore is of trust domain {found}, this server of {configured}: name the datastore of {configured}, \
         or start a server for {found}"
    )]
    TrustDomain { found: TrustDomain, configured: TrustDomain },
    #[error("the datastore has no bundle of trust domain {0}: no server of it has ever used this datastore")]
    NoBundle(TrustDomain),
}
