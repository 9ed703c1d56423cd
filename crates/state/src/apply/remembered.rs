//! Retries: the outcome of a request is kept in compact form. A created entry is not stored twice: the retry carries
//! the same command, from which it is made again.

use std::sync::Arc;

use super::entry;
use super::writer::Writer;
use crate::codec::{RequestRow, StoredCreation, StoredOutcome};
use crate::{Command, CommandKind, EntryCreation, NO_REQUEST, Outcome, Rejection};

/// The outcome of the first try, if `command` was applied before.
pub(super) fn outcome(writer: &Writer<'_>, command: &Command) -> Option<Outcome> {
    if command.request_id == NO_REQUEST {
        return None;
    }
    let row = writer.state().requests.find(&command.request_id)?;
    Some(restore(row, &command.kind).unwrap_or_else(|| {
        Outcome::Rejected(Rejection::internal("this request id was used for another request: choose a new one"))
    }))
}

pub(super) fn remember(writer: &mut Writer<'_>, command: &Command, outcome: &Outcome) {
    let (applied_at, outcome) = (writer.now(), StoredOutcome::compact(outcome).encode());
    writer.remember(|number| RequestRow { number, id: command.request_id, applied_at, outcome });
}

/// `None` when the command cannot be the one that left this outcome.
fn restore(row: &RequestRow, kind: &CommandKind) -> Option<Outcome> {
    let creations = match StoredOutcome::decode(&row.outcome).ok()? {
        StoredOutcome::Whole(outcome) => return Some(outcome),
        StoredOutcome::Creations(creations) => creations,
    };
    let CommandKind::CreateEntries { entries: drafts } = kind else { return None };
    if drafts.len() != creations.len() {
        return None;
    }
    let results = drafts.iter().zip(creations).map(|(draft, creation)| match creation {
        StoredCreation::Created => EntryCreation::Created(Arc::new(entry::created(draft, row.applied_at))),
        StoredCreation::AlreadyExists(existing) => EntryCreation::AlreadyExists(existing),
        StoredCreation::Rejected(rejection) => EntryCreation::Rejected(rejection),
    });
    Some(Outcome::EntriesCreated(results.collect()))
}
