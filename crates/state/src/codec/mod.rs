//! Commands, rows and outcomes as bytes: one version byte, then protobuf (`docs/adr/0002-log-codec.md`).
//!
//! Decoding is strict. A kind of command or a field that this version does not know is an error that stops apply,
//! because skipping it would make this replica differ from the others.

mod error;
mod frame;
mod migrate;
mod row;
mod stored;
mod v1;

pub use error::DecodeError;
pub use frame::{FORMAT_VERSION, command_len, decode_commands, decode_outcome, encode_commands, encode_outcome};
pub(crate) use frame::{decode_row, encode_row};
pub(crate) use row::{
    AgentRow, AuthorityRow, BundleRow, EntryRow, Meta, RelationshipRow, RequestRow, Row, SealedRow, Slot,
};
pub(crate) use stored::{StoredCreation, StoredOutcome};
