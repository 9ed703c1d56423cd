//! Version 1 as protobuf messages. Tags are never used twice: a field that goes away leaves its number behind.

mod audit;
mod command;
mod import;
mod mask;
mod noun;
mod outcome;
mod payload;
mod row;
mod web;

pub(super) use audit::KeptAnchor;
pub(super) use command::{Command, Commands};
pub(super) use noun::{
    Agent, Authority, Bundle, Cluster, Entry, JoinToken, MemberFacts, Relationship, suffrage, suffrage_number, uuid,
};
pub(super) use outcome::{Outcome, StoredOutcome};
pub(super) use row::{AuthorityRow, BundleRow, EntryRow, Member, Meta, RelationshipRow, RequestRow, SealedRow};
pub(super) use web::{AcmeAccount, AcmeChallenge, WebCertificate};
