//! Signing authorities.

use steeple_core::{Authority, AuthorityKind, AuthoritySet};

use crate::{CLUSTER_VERSION_WIT, State};

impl State {
    pub fn authorities(&self, kind: AuthorityKind) -> &AuthoritySet {
        self.authority_set(kind)
    }

    /// Whether the cluster version has authorities of this kind.
    pub fn permits(&self, kind: AuthorityKind) -> bool {
        kind != AuthorityKind::Wit || self.cluster_version() >= CLUSTER_VERSION_WIT
    }

    /// The authority that may sign now. Whoever signs asks again before releasing what was signed.
    pub fn active_authority(&self, kind: AuthorityKind) -> Option<&Authority> {
        self.authority_set(kind).active.as_ref()
    }
}
