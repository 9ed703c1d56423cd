//! Signing authorities.

use steeple_core::{Authority, AuthorityKind, AuthoritySet};

use crate::State;

impl State {
    pub fn authorities(&self, kind: AuthorityKind) -> &AuthoritySet {
        self.authority_set(kind)
    }

    /// The authority that may sign now. Whoever signs asks again before releasing what was signed.
    pub fn active_authority(&self, kind: AuthorityKind) -> Option<&Authority> {
        self.authority_set(kind).active.as_ref()
    }
}
