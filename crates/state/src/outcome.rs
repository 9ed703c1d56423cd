//! What a command came to. A refused command is an outcome too, never a panic, and carries the text that SPIRE's
//! clients read.

use std::sync::Arc;

use steeple_core::{AttestedAgent, AuthorityId, Bundle, Entry, FederationRelationship, Timestamp};

use crate::{Event, ImportResult, RowChange};

/// Everything that applying one command yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    pub outcome: Outcome,
    /// For drivers and watch streams, in order.
    pub events: Vec<Event>,
    /// For storage, to be written in one batch with the applied index.
    pub changes: Vec<RowChange>,
}

/// The answer to a command; each kind of command names its own (see [`crate::CommandKind`]).
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It happened and there is nothing more to say.
    Done,
    /// The whole command was refused.
    Rejected(Rejection),
    Agent(Arc<AttestedAgent>),
    Authority {
        id: AuthorityId,
        not_after: Timestamp,
    },
    Bundle(Arc<Bundle>),
    Bundles(Vec<Result<Arc<Bundle>, Rejection>>),
    /// For each item, whether it was deleted: entries, bundles, relationships.
    Deleted(Vec<Result<(), Rejection>>),
    EntriesCreated(Vec<EntryCreation>),
    EntriesUpdated(Vec<Result<Arc<Entry>, Rejection>>),
    /// For each record of an import. Nothing was written when one of them is in conflict.
    Imported(Vec<ImportResult>),
    Member {
        node_id: u64,
    },
    /// `more` says that the bound of one command was reached and another may find work.
    Pruned {
        items: u32,
        more: bool,
    },
    Relationships(Vec<Result<Relationship, Rejection>>),
}

/// The result for one draft of `CreateEntries`.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryCreation {
    Created(Arc<Entry>),
    /// A similar entry exists: same parent, SPIFFE ID and selectors. Controllers adopt the one returned.
    AlreadyExists(Arc<Entry>),
    /// Invalid, or its id is taken.
    Rejected(Rejection),
}

/// A relationship and the bundle stored for its trust domain, if any.
#[derive(Clone, Debug, PartialEq)]
pub struct Relationship {
    pub relationship: FederationRelationship,
    pub bundle: Option<Arc<Bundle>>,
}

/// A refusal, with SPIRE's status code and text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    pub code: Code,
    pub message: String,
}

/// The gRPC status codes that refusals use, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    InvalidArgument = 3,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    /// The bound of one command was reached: what was done stays, and the caller repeats under a new request id. Of an
    /// item: it changed since it was judged.
    Aborted = 10,
    Internal = 13,
}

impl Rejection {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    pub(crate) fn precondition(message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, message)
    }

    /// What every command about the trust domain answers before the cluster has one.
    pub(crate) fn uninitialised() -> Self {
        Self::precondition("the cluster is not initialised: start one node with bootstrap enabled")
    }
}

impl From<Result<Outcome, Rejection>> for Outcome {
    fn from(result: Result<Outcome, Rejection>) -> Self {
        result.unwrap_or_else(Self::Rejected)
    }
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> i32 {
        self as i32
    }

    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    const ALL: [Self; 8] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::Internal,
    ];
}
