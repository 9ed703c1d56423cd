//! What entries say about a caller.

use steeple_core::SpiffeId;

use crate::State;
use crate::index::NumberSet;

/// The classes that entries grant to the holders of a SPIFFE ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallerFlags {
    pub admin: bool,
    pub downstream: bool,
}

impl State {
    /// All entries for `caller` together (SPIRE behaviour: no look at who their parent is).
    pub fn caller_flags(&self, caller: &SpiffeId) -> CallerFlags {
        let numbers = self.entries.holders(caller).map_or(&[][..], NumberSet::as_slice);
        let entries = numbers.iter().filter_map(|number| self.entries.get(*number));
        entries.fold(CallerFlags::default(), |flags, entry| CallerFlags {
            admin: flags.admin || entry.admin,
            downstream: flags.downstream || entry.downstream,
        })
    }
}
