//! What a reset of the replicated clock takes: the answer to who asks beforehand, and what `apply` does. Why:
//! docs/adr/0043-the-way-back.md.

use steeple_core::{Authority, AuthorityId, AuthorityKind, AuthorityStatus, Timestamp};

use crate::State;
use crate::limits::CLOCK_SKEW_MAX;

/// What a reset at some time would end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockReset {
    /// The replicated clock is ahead, by more than the replicas' clocks may differ. While it is not, nothing ends.
    pub ahead: bool,
    /// All that nobody has used: by which clock each was made is not known.
    pub join_tokens: usize,
    pub authorities: Vec<EndingAuthority>,
}

/// An authority that was made in a time that has not come: it signs what is not valid yet. Its public half stays in the
/// bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndingAuthority {
    pub kind: AuthorityKind,
    pub id: AuthorityId,
    pub ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It signs on until its successor takes over, as after a restore.
    Succeeded,
    /// It was prepared, and makes way at once.
    Dropped,
}

impl State {
    /// What a reset at `now` would end.
    pub fn clock_reset(&self, now: Timestamp) -> ClockReset {
        if self.now().since(now) <= CLOCK_SKEW_MAX {
            return ClockReset::default();
        }
        let authorities = AuthorityKind::ALL.into_iter().flat_map(|kind| {
            let set = self.authority_set(kind);
            let slots = [&set.active, &set.next].into_iter().flatten();
            slots.filter(move |authority| authority.issued_at > now).filter_map(EndingAuthority::of)
        });
        ClockReset { ahead: true, join_tokens: self.join_tokens.len(), authorities: authorities.collect() }
    }
}

impl EndingAuthority {
    fn of(authority: &Authority) -> Option<Self> {
        let ending = match authority.status {
            AuthorityStatus::Active => Ending::Succeeded,
            AuthorityStatus::Prepared => Ending::Dropped,
            // It signs nothing any more.
            AuthorityStatus::Old => return None,
        };
        Some(Self { kind: authority.kind, id: authority.id.clone(), ending })
    }
}
