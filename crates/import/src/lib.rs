//! What another server knew: reads the datastore and the keys of a SPIRE server and makes our values of them.
//!
//! ```text
//!   SQLite file ─┐                                  ┌─► records: bundles, entries, agents, tokens, relationships
//!                ├─► Database (rows as they are) ─► plan ─► authorities with their private keys
//!   PostgreSQL ──┘            keys.json ────────────┘─► what is left behind, and why
//! ```
//!
//! Nothing is written: not to the database, and not to a server; that is the caller's. `plan` is pure and takes the
//! time as a value. What a row has that no server should hold is told and left behind; what this program does not
//! understand (another schema version) stops everything.

mod cells;
mod database;
mod error;
mod in_use;
mod key_file;
mod plan;
mod postgres;
mod postgres_tls;
mod rows;
mod source;
mod sqlite;
mod table;
mod wire;

pub use database::Database;
pub use error::{KeyFileError, PlanError, ReadError, SourceError};
pub use key_file::{KeyFile, StoredKey};
pub use plan::{ImportedAuthority, LeftBehind, Noun, Plan, plan};
pub use source::{PostgresOptions, Source};
