//! The replicated state as a pure machine.
//!
//! ```text
//!   log entry = [Command] ──> State::apply ──> Outcome     the answer, kept for retries
//!                               │        ├───> Event       for drivers and watch streams
//!                               │        └───> RowChange   for storage, one batch per log entry
//!                               │
//!   rows ──> State::from_rows ──┘
//!   &State ──> view/            what services and drivers read
//! ```
//!
//! Four promises:
//!
//! * **pure**: no I/O, no clock, no random source; time is the leader's stamp in the command;
//! * **total**: every command has an outcome, a refusal being one, and nothing panics on input;
//! * **deterministic**: the same commands at the same indexes give the same rows, hash and outcomes everywhere;
//! * **bounded**: what one command can do, and what is kept for retries, has a named limit in [`limits`].

mod apply;
mod audit;
mod cluster;
pub mod codec;
mod command;
mod command_name;
mod dump;
mod event;
mod hash;
mod import;
mod index;
mod join_token;
pub mod limits;
mod outcome;
mod requests;
mod row;
mod state;
pub mod validate;
mod version;
pub mod view;

pub use apply::{Refounded, Refounding};
pub use audit::{AuditAnchor, KeptAnchor};
pub use cluster::{Cluster, Member, MemberFacts, Sealed, SealedName, Suffrage, Uuid};
pub use codec::DecodeError;
pub use command::{
    Attestation, BundleMask, BundleUpdate, ClusterInit, Command, CommandKind, DeleteMode, EntryMask, EntryUpdate,
    JudgedUpdate, NO_REQUEST, RelationshipDraft, RelationshipMask, RelationshipUpdate, RequestId, UpstreamChanges,
    WebKey,
};
pub use dump::StateRow;
pub use event::{AgentChange, Change, Event};
pub use hash::StateHash;
pub use import::{ImportRecord, ImportResult};
pub use join_token::join_token_digest;
pub use outcome::{Applied, Code, EntryCreation, Outcome, Rejection, Relationship};
pub use row::{RowChange, Table};
pub use state::State;
pub use version::{
    CLUSTER_VERSION_AGENT_NUMBERS, CLUSTER_VERSION_AUDIT_ANCHORS, CLUSTER_VERSION_FIRST, CLUSTER_VERSION_LATER_EXPIRY,
    CLUSTER_VERSION_MAX, CLUSTER_VERSION_NEW_SEALING_KEY, CLUSTER_VERSION_RENEWAL, CLUSTER_VERSION_RESET_CLOCK,
    CLUSTER_VERSION_TOKEN_DIGESTS, CLUSTER_VERSION_TOKEN_FRACTIONS, CLUSTER_VERSION_WIT,
};
