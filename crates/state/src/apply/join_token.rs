//! Join tokens: created here, used up by an attestation (`agent.rs`), pruned when nobody came.

use steeple_core::{Entry, JoinToken};

use super::entry;
use super::writer::Writer;
use crate::limits::PRUNE_ITEMS_MAX;
use crate::{EntryCreation, Outcome, Rejection};

pub(super) fn create(writer: &mut Writer<'_>, token: &JoinToken, alias: Option<&Entry>) -> Result<Outcome, Rejection> {
    if token.value.is_empty() {
        return Err(Rejection::invalid("failed to create token: the token is empty"));
    }
    if writer.state().join_tokens.contains_key(&writer.state().held_name(&token.value)) {
        return Err(Rejection::internal(
            "failed to create token: datastore-sql: UNIQUE constraint failed: join_tokens.token",
        ));
    }
    if let Some(alias) = alias {
        // A similar entry left by an earlier token of the same value serves as well.
        if let EntryCreation::Rejected(rejection) = entry::create_one(writer, alias) {
            let message = format!("failed to create join token registration entry: {rejection}");
            return Err(Rejection::internal(message));
        }
    }
    writer.put_join_token(token);
    Ok(Outcome::Done)
}

pub(super) fn prune(writer: &mut Writer<'_>, before: i64) -> Outcome {
    let (items, more) = take(writer, |expires_at| expires_at < before);
    Outcome::Pruned { items, more }
}

/// None can be used any more. Returns as [`take`].
pub(super) fn void(writer: &mut Writer<'_>) -> (u32, bool) {
    take(writer, |_| true)
}

/// Takes tokens away by their expiry, as many as one command may. Returns how many, and whether there are more.
fn take(writer: &mut Writer<'_>, which: impl Fn(i64) -> bool) -> (u32, bool) {
    let items_max = PRUNE_ITEMS_MAX as usize;
    let wanted = writer.state().join_tokens.iter().filter(|(_, expires_at)| which(**expires_at));
    let mut wanted: Vec<String> = wanted.map(|(value, _)| value.clone()).take(items_max + 1).collect();
    let more = wanted.len() > items_max;
    wanted.truncate(items_max);
    for value in &wanted {
        writer.take_join_token(value);
    }
    (wanted.len() as u32, more)
}
