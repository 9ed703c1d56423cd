//! The way back for a replicated clock that ran ahead: docs/adr/0043-the-way-back.md.

use steeple_core::{Authority, AuthorityKind, AuthorityStatus, Timestamp};

use super::join_token;
use super::writer::Writer;
use crate::codec::Slot;
use crate::limits::CLOCK_SKEW_MAX;
use crate::{Outcome, Rejection};

pub(super) fn reset(writer: &mut Writer<'_>) -> Result<Outcome, Rejection> {
    if !is_ahead(writer) {
        let (now, stamp) = (writer.now(), writer.stamp());
        let message = format!("the replicated clock is not ahead: it says {now}, and the leader's clock says {stamp}");
        return Err(Rejection::precondition(message));
    }
    let (items, more) = join_token::void(writer);
    if !more {
        turn_back(writer);
    }
    Ok(Outcome::Pruned { items, more })
}

/// By more than the replicas' clocks may differ.
pub(super) fn is_ahead(writer: &Writer<'_>) -> bool {
    writer.now().since(writer.stamp()) > CLOCK_SKEW_MAX
}

/// Says what the stamp says. An authority that was made in a time that has not come signs what is not valid yet: it
/// gets a successor, as after a restore; one that was only prepared makes way at once. Their public halves stay in the
/// bundle.
pub(super) fn turn_back(writer: &mut Writer<'_>) {
    let now = writer.stamp();
    for kind in AuthorityKind::ALL {
        let set = writer.state().authority_set(kind).clone();
        if let Some(active) = set.active.filter(|active| active.issued_at > now) {
            writer.set_slot(kind, Slot::Active, Some(Authority { restored: true, ..active }));
        }
        if set.next.is_some_and(|next| has_not_come(&next, now)) {
            writer.set_slot(kind, Slot::Next, None);
        }
    }
    writer.reset_clock();
}

fn has_not_come(next: &Authority, now: Timestamp) -> bool {
    next.status == AuthorityStatus::Prepared && next.issued_at > now
}
