//! Registration entries: create, update, delete, prune.

use std::sync::Arc;

use steeple_core::{Entry, Timestamp};

use super::writer::Writer;
use crate::limits::PRUNE_ITEMS_MAX;
use crate::validate;
use crate::{Code, EntryCreation, EntryUpdate, JudgedUpdate, Outcome, Rejection, State};

pub(super) fn create(writer: &mut Writer<'_>, drafts: &[Arc<Entry>]) -> Outcome {
    Outcome::EntriesCreated(drafts.iter().map(|draft| create_one(writer, draft)).collect())
}

pub(super) fn create_one(writer: &mut Writer<'_>, draft: &Entry) -> EntryCreation {
    match validate::creation(writer.state(), draft, draft.selectors.as_slice()) {
        Err(rejection) => return EntryCreation::Rejected(rejection),
        Ok(Some(existing)) => return EntryCreation::AlreadyExists(existing),
        Ok(None) => {}
    }
    let entry = created(draft, writer.now());
    EntryCreation::Created(writer.insert_entry(entry))
}

/// The entry that a valid draft becomes when it is applied at `now`.
pub(super) fn created(draft: &Entry, now: Timestamp) -> Entry {
    Entry {
        federates_with: validate::sorted(&draft.federates_with),
        revision: 0,
        // The replicated clock, not the proposer's: a later creation under the same id has a later or equal time.
        created_at: now.as_secs(),
        ..draft.clone()
    }
}

pub(super) fn update(writer: &mut Writer<'_>, updates: &[EntryUpdate]) -> Outcome {
    Outcome::EntriesUpdated(updates.iter().map(|update| update_one(writer, update)).collect())
}

pub(super) fn delete(writer: &mut Writer<'_>, ids: &[String]) -> Outcome {
    Outcome::Deleted(ids.iter().map(|id| delete_one(writer, id)).collect())
}

pub(super) fn update_judged(writer: &mut Writer<'_>, updates: &[JudgedUpdate]) -> Outcome {
    let update = |JudgedUpdate { update, judged }: &JudgedUpdate| {
        unchanged(writer.state(), &update.entry.id, judged)?;
        update_one(writer, update)
    };
    Outcome::EntriesUpdated(updates.iter().map(update).collect())
}

pub(super) fn delete_judged(writer: &mut Writer<'_>, judged: &[Arc<Entry>]) -> Outcome {
    let delete = |judged: &Arc<Entry>| {
        unchanged(writer.state(), &judged.id, judged)?;
        delete_one(writer, &judged.id)
    };
    Outcome::Deleted(judged.iter().map(delete).collect())
}

pub(super) fn prune(writer: &mut Writer<'_>, before: i64) -> Outcome {
    let items_max = PRUNE_ITEMS_MAX as usize;
    let mut expired: Vec<u64> = writer.state().entries.expired(before).take(items_max + 1).collect();
    let more = expired.len() > items_max;
    expired.truncate(items_max);
    expired.iter().for_each(|number| writer.remove_entry(*number));
    Outcome::Pruned { items: expired.len() as u32, more }
}

/// An entry that is gone is left to what is done with it.
fn unchanged(state: &State, id: &str, judged: &Entry) -> Result<(), Rejection> {
    match state.entry(id) {
        Some(stored) if **stored != *judged => Err(Rejection::new(
            Code::Aborted,
            "the entry was changed by somebody else meanwhile; look at it, and retry",
        )),
        _ => Ok(()),
    }
}

fn delete_one(writer: &mut Writer<'_>, id: &str) -> Result<(), Rejection> {
    if id.is_empty() {
        return Err(Rejection::invalid("missing entry ID"));
    }
    let number = writer.state().entries.number_of(id);
    let number = number.ok_or_else(|| Rejection::not_found("entry not found"))?;
    writer.remove_entry(number);
    Ok(())
}

fn update_one(writer: &mut Writer<'_>, update: &EntryUpdate) -> Result<Arc<Entry>, Rejection> {
    let entry = validate::update(writer.state(), update, update.entry.selectors.as_slice())?;
    Ok(writer.replace_entry(entry))
}
