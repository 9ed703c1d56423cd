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
    if writer.state().join_tokens.contains_key(&token.value) {
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
    let items_max = PRUNE_ITEMS_MAX as usize;
    let expired = writer.state().join_tokens.iter().filter(|(_, expires_at)| **expires_at < before);
    let mut expired: Vec<String> = expired.map(|(value, _)| value.clone()).take(items_max + 1).collect();
    let more = expired.len() > items_max;
    expired.truncate(items_max);
    for value in &expired {
        writer.take_join_token(value);
    }
    Outcome::Pruned { items: expired.len() as u32, more }
}
