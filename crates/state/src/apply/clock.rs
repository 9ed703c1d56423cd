//! The way back for a replicated clock that ran ahead: docs/adr/0043-the-way-back.md. What it takes is said by
//! [`crate::State::clock_reset`].

use steeple_core::Authority;

use super::join_token;
use super::writer::Writer;
use crate::codec::Slot;
use crate::view::{Ending, EndingAuthority};
use crate::{Outcome, Rejection};

pub(super) fn reset(writer: &mut Writer<'_>) -> Result<Outcome, Rejection> {
    let reset = writer.state().clock_reset(writer.stamp());
    if !reset.ahead {
        let (now, stamp) = (writer.now(), writer.stamp());
        let message = format!("the replicated clock is not ahead: it says {now}, and the leader's clock says {stamp}");
        return Err(Rejection::precondition(message));
    }
    let (items, more) = join_token::void(writer);
    if !more {
        turn_back(writer, &reset.authorities);
    }
    Ok(Outcome::Pruned { items, more })
}

/// Says what the stamp says, and ends `authorities`.
pub(super) fn turn_back(writer: &mut Writer<'_>, authorities: &[EndingAuthority]) {
    for EndingAuthority { kind, ending, .. } in authorities {
        match ending {
            Ending::Succeeded => {
                let active = writer.state().authority_set(*kind).active.clone();
                let active = active.map(|active| Authority { restored: true, ..active });
                writer.set_slot(*kind, Slot::Active, active);
            }
            Ending::Dropped => writer.set_slot(*kind, Slot::Next, None),
        }
    }
    writer.reset_clock();
}
