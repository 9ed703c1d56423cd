//! What the peer port's guard knows of the membership.

use std::sync::Arc;

use steeple_state::State;

use super::published::Published;
use super::types::Raft;
use crate::peer::{MemberView, PeerId, Standing};

/// The replicated list of members, and Raft's membership, which may be one entry ahead of it.
#[derive(Clone)]
pub(super) struct Members {
    pub(super) published: Arc<Published>,
    pub(super) raft: Raft,
}

impl MemberView for Members {
    fn standing(&self, id: &PeerId) -> Standing {
        let known_to_raft = {
            use openraft::async_runtime::watch::WatchReceiver;
            let metrics = self.raft.metrics();
            let membership = metrics.borrow_watched().membership_config.clone();
            membership.get_node(&id.node_id).is_some_and(|node| node.storage_uuid == id.storage_uuid)
        };
        if known_to_raft {
            return Standing::Member;
        }
        by_list(&self.published.state.read(), id)
    }
}

/// Of a node that Raft's membership does not have, at least not on this disk.
pub(super) fn by_list(state: &State, id: &PeerId) -> Standing {
    match (state.member(id.node_id), state.cluster()) {
        (Some(member), _) if member.facts.storage_uuid == id.storage_uuid => Standing::Member,
        (Some(_), _) => Standing::Stranger,
        // A joiner that has not heard the log yet; the certificate came from this cluster's CA.
        (None, None) => Standing::Newer,
        (None, Some(cluster)) if id.node_id >= cluster.node_id_next => Standing::Newer,
        (None, Some(_)) => Standing::Stranger,
    }
}
