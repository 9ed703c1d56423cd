//! Attested agents (SPIRE's "attested nodes").

use crate::{SelectorSet, SpiffeId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedAgent {
    pub id: SpiffeId,
    pub attestation_type: String,
    /// Decimal serial of the current SVID; empty means banned, as in SPIRE.
    pub serial: String,
    /// Unix seconds.
    pub not_after: i64,
    /// Serial handed out by a renewal and not yet used; empty when there is none.
    pub new_serial: String,
    /// Unix seconds; 0 when there is no pending serial.
    pub new_not_after: i64,
    pub can_reattest: bool,
    pub selectors: SelectorSet,
    /// As the agent reported it; empty when it never did.
    pub agent_version: String,
}

impl AttestedAgent {
    pub fn is_banned(&self) -> bool {
        self.serial.is_empty()
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.not_after < now.as_secs()
    }
}
