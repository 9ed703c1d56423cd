//! Outcomes, for the answers to forwarded commands and for retries.

use std::sync::Arc;

use steeple_core as core;

use super::super::{DecodeError, StoredCreation, StoredOutcome as Stored};
use super::import::Results;
use super::noun::{Agent, Bundle, Entry, Relationship as RelationshipNoun};
use crate::{Code, EntryCreation, Outcome as StateOutcome, Rejection as StateRejection};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Outcome {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Done(Empty),
    #[prost(message, tag = "2")]
    Rejected(Rejection),
    #[prost(message, tag = "3")]
    Agent(Agent),
    #[prost(message, tag = "4")]
    Authority(AuthorityAnswer),
    #[prost(message, tag = "5")]
    Bundle(Bundle),
    #[prost(message, tag = "6")]
    Bundles(BundleResults),
    #[prost(message, tag = "7")]
    Deleted(Deletions),
    #[prost(message, tag = "8")]
    EntriesCreated(Creations),
    #[prost(message, tag = "9")]
    EntriesUpdated(EntryResults),
    #[prost(uint64, tag = "10")]
    MemberNodeId(u64),
    #[prost(message, tag = "11")]
    Pruned(Pruned),
    #[prost(message, tag = "12")]
    Relationships(RelationshipResults),
    #[prost(message, tag = "13")]
    Imported(Results),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StoredOutcome {
    #[prost(oneof = "StoredKind", tags = "1, 2")]
    kind: Option<StoredKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum StoredKind {
    #[prost(message, tag = "1")]
    Whole(Outcome),
    /// The entries that were created are left out.
    #[prost(message, tag = "2")]
    Creations(Creations),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
struct Rejection {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AuthorityAnswer {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(sint64, tag = "2")]
    not_after_ms: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pruned {
    #[prost(uint32, tag = "1")]
    items: u32,
    #[prost(bool, tag = "2")]
    more: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Deletions {
    #[prost(message, repeated, tag = "1")]
    results: Vec<Deletion>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Deletion {
    #[prost(message, optional, tag = "1")]
    rejection: Option<Rejection>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Creations {
    #[prost(message, repeated, tag = "1")]
    results: Vec<Creation>,
}

/// At most one of them; none at all is a created entry that was left out.
#[derive(Clone, PartialEq, prost::Message)]
struct Creation {
    #[prost(message, optional, tag = "1")]
    created: Option<Entry>,
    #[prost(message, optional, tag = "2")]
    existing: Option<Entry>,
    #[prost(message, optional, tag = "3")]
    rejection: Option<Rejection>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryResults {
    #[prost(message, repeated, tag = "1")]
    results: Vec<EntryResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryResult {
    #[prost(message, optional, tag = "1")]
    entry: Option<Entry>,
    #[prost(message, optional, tag = "2")]
    rejection: Option<Rejection>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BundleResults {
    #[prost(message, repeated, tag = "1")]
    results: Vec<BundleResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BundleResult {
    #[prost(message, optional, tag = "1")]
    bundle: Option<Bundle>,
    #[prost(message, optional, tag = "2")]
    rejection: Option<Rejection>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RelationshipResults {
    #[prost(message, repeated, tag = "1")]
    results: Vec<RelationshipResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RelationshipResult {
    #[prost(message, optional, tag = "1")]
    relationship: Option<RelationshipNoun>,
    #[prost(message, optional, tag = "2")]
    bundle: Option<Bundle>,
    #[prost(message, optional, tag = "3")]
    rejection: Option<Rejection>,
}

// === To messages ===

impl From<&StateOutcome> for Outcome {
    fn from(outcome: &StateOutcome) -> Self {
        let kind = match outcome {
            StateOutcome::Done => Kind::Done(Empty {}),
            StateOutcome::Rejected(rejection) => Kind::Rejected(rejection.into()),
            StateOutcome::Agent(agent) => Kind::Agent((&**agent).into()),
            StateOutcome::Authority { id, not_after } => {
                Kind::Authority(AuthorityAnswer { id: id.clone(), not_after_ms: not_after.as_ms() })
            }
            StateOutcome::Bundle(bundle) => Kind::Bundle((&**bundle).into()),
            StateOutcome::Bundles(results) => {
                Kind::Bundles(BundleResults { results: results.iter().map(bundle_result).collect() })
            }
            StateOutcome::Deleted(results) => {
                let deletion = |result: &Result<(), StateRejection>| Deletion { rejection: rejection_of(result) };
                Kind::Deleted(Deletions { results: results.iter().map(deletion).collect() })
            }
            StateOutcome::EntriesCreated(results) => {
                Kind::EntriesCreated(Creations { results: results.iter().map(Creation::from).collect() })
            }
            StateOutcome::EntriesUpdated(results) => {
                Kind::EntriesUpdated(EntryResults { results: results.iter().map(entry_result).collect() })
            }
            StateOutcome::Imported(results) => Kind::Imported(results.as_slice().into()),
            StateOutcome::Member { node_id } => Kind::MemberNodeId(*node_id),
            StateOutcome::Pruned { items, more } => Kind::Pruned(Pruned { items: *items, more: *more }),
            StateOutcome::Relationships(results) => {
                Kind::Relationships(RelationshipResults { results: results.iter().map(relationship_result).collect() })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl From<&Stored> for StoredOutcome {
    fn from(stored: &Stored) -> Self {
        let kind = match stored {
            Stored::Whole(outcome) => StoredKind::Whole(outcome.into()),
            Stored::Creations(creations) => {
                let results = creations.iter().map(|creation| match creation {
                    StoredCreation::Created => Creation::default(),
                    StoredCreation::AlreadyExists(entry) => {
                        Creation { existing: Some((&**entry).into()), ..Creation::default() }
                    }
                    StoredCreation::Rejected(rejection) => {
                        Creation { rejection: Some(rejection.into()), ..Creation::default() }
                    }
                });
                StoredKind::Creations(Creations { results: results.collect() })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl From<&EntryCreation> for Creation {
    fn from(creation: &EntryCreation) -> Self {
        match creation {
            EntryCreation::Created(entry) => Self { created: Some((&**entry).into()), ..Self::default() },
            EntryCreation::AlreadyExists(entry) => Self { existing: Some((&**entry).into()), ..Self::default() },
            EntryCreation::Rejected(rejection) => Self { rejection: Some(rejection.into()), ..Self::default() },
        }
    }
}

impl From<&StateRejection> for Rejection {
    fn from(rejection: &StateRejection) -> Self {
        Self { code: rejection.code.number(), message: rejection.message.clone() }
    }
}

fn bundle_result(result: &Result<Arc<core::Bundle>, StateRejection>) -> BundleResult {
    BundleResult { bundle: result.as_ref().ok().map(|bundle| (&**bundle).into()), rejection: rejection_of(result) }
}

fn entry_result(result: &Result<Arc<core::Entry>, StateRejection>) -> EntryResult {
    EntryResult { entry: result.as_ref().ok().map(|entry| (&**entry).into()), rejection: rejection_of(result) }
}

fn relationship_result(result: &Result<crate::Relationship, StateRejection>) -> RelationshipResult {
    let found = result.as_ref().ok();
    RelationshipResult {
        relationship: found.map(|found| (&found.relationship).into()),
        bundle: found.and_then(|found| found.bundle.as_deref()).map(Bundle::from),
        rejection: rejection_of(result),
    }
}

fn rejection_of<T>(result: &Result<T, StateRejection>) -> Option<Rejection> {
    result.as_ref().err().map(Rejection::from)
}

// === From messages ===

impl TryFrom<Outcome> for StateOutcome {
    type Error = DecodeError;

    fn try_from(outcome: Outcome) -> Result<Self, DecodeError> {
        Ok(match outcome.kind.ok_or(DecodeError::UnknownContent)? {
            Kind::Done(Empty {}) => Self::Done,
            Kind::Rejected(rejection) => Self::Rejected(rejection.try_into()?),
            Kind::Agent(agent) => Self::Agent(Arc::new(agent.try_into()?)),
            Kind::Authority(answer) => {
                Self::Authority { id: answer.id, not_after: core::Timestamp::from_ms(answer.not_after_ms) }
            }
            Kind::Bundle(bundle) => Self::Bundle(Arc::new(bundle.try_into()?)),
            Kind::Bundles(list) => {
                let one = |result: BundleResult| either("bundle", result.bundle, result.rejection);
                Self::Bundles(list.results.into_iter().map(one).collect::<Result<_, _>>()?)
            }
            Kind::Deleted(list) => {
                let one = |deletion: Deletion| match deletion.rejection {
                    None => Ok(Ok(())),
                    Some(rejection) => rejection.try_into().map(Err),
                };
                Self::Deleted(list.results.into_iter().map(one).collect::<Result<_, _>>()?)
            }
            Kind::EntriesCreated(list) => {
                Self::EntriesCreated(list.results.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
            }
            Kind::EntriesUpdated(list) => {
                let one = |result: EntryResult| either("entry", result.entry, result.rejection);
                Self::EntriesUpdated(list.results.into_iter().map(one).collect::<Result<_, _>>()?)
            }
            Kind::Imported(results) => Self::Imported(results.try_into()?),
            Kind::MemberNodeId(node_id) => Self::Member { node_id },
            Kind::Pruned(pruned) => Self::Pruned { items: pruned.items, more: pruned.more },
            Kind::Relationships(list) => {
                Self::Relationships(list.results.into_iter().map(relationship).collect::<Result<_, _>>()?)
            }
        })
    }
}

impl TryFrom<StoredOutcome> for Stored {
    type Error = DecodeError;

    fn try_from(stored: StoredOutcome) -> Result<Self, DecodeError> {
        match stored.kind.ok_or(DecodeError::UnknownContent)? {
            StoredKind::Whole(outcome) => Ok(Self::Whole(outcome.try_into()?)),
            StoredKind::Creations(list) => {
                let creations = list.results.into_iter().map(|creation| {
                    Ok(match (creation.existing, creation.rejection) {
                        (Some(existing), _) => StoredCreation::AlreadyExists(Arc::new(existing.try_into()?)),
                        (None, Some(rejection)) => StoredCreation::Rejected(rejection.try_into()?),
                        (None, None) => StoredCreation::Created,
                    })
                });
                Ok(Self::Creations(creations.collect::<Result<_, DecodeError>>()?))
            }
        }
    }
}

impl TryFrom<Creation> for EntryCreation {
    type Error = DecodeError;

    fn try_from(creation: Creation) -> Result<Self, DecodeError> {
        Ok(match (creation.created, creation.existing, creation.rejection) {
            (Some(entry), _, _) => Self::Created(Arc::new(entry.try_into()?)),
            (None, Some(entry), _) => Self::AlreadyExists(Arc::new(entry.try_into()?)),
            (None, None, Some(rejection)) => Self::Rejected(rejection.try_into()?),
            (None, None, None) => return Err(DecodeError::Missing { what: "result of a creation" }),
        })
    }
}

impl TryFrom<Rejection> for StateRejection {
    type Error = DecodeError;

    fn try_from(rejection: Rejection) -> Result<Self, DecodeError> {
        let code = Code::from_number(rejection.code);
        let code = code.ok_or_else(|| DecodeError::invalid("status code", rejection.code))?;
        Ok(Self { code, message: rejection.message })
    }
}

fn relationship(result: RelationshipResult) -> Result<Result<crate::Relationship, StateRejection>, DecodeError> {
    let bundle = result.bundle.map(core::Bundle::try_from).transpose()?.map(Arc::new);
    match (result.relationship, result.rejection) {
        (Some(found), _) => Ok(Ok(crate::Relationship { relationship: found.try_into()?, bundle })),
        (None, Some(rejection)) => rejection.try_into().map(Err),
        (None, None) => Err(DecodeError::Missing { what: "relationship" }),
    }
}

fn either<M, T: TryFrom<M, Error = DecodeError>>(
    what: &'static str,
    value: Option<M>,
    rejection: Option<Rejection>,
) -> Result<Result<Arc<T>, StateRejection>, DecodeError> {
    match (value, rejection) {
        (Some(value), _) => Ok(Ok(Arc::new(value.try_into()?))),
        (None, Some(rejection)) => rejection.try_into().map(Err),
        (None, None) => Err(DecodeError::Missing { what }),
    }
}
