//! Heads of audit chains.

use crate::{KeptAnchor, State};

impl State {
    /// By node, and within a node by chain, the oldest first.
    pub fn audit_anchors(&self) -> impl Iterator<Item = &KeptAnchor> {
        self.audit_anchors.values()
    }

    /// Of one node, the newest chain last.
    pub fn audit_anchors_of(&self, node_id: u64) -> impl DoubleEndedIterator<Item = &KeptAnchor> + Clone {
        self.audit_anchors.range((node_id, 0)..=(node_id, u64::MAX)).map(|(_, kept)| kept)
    }
}
