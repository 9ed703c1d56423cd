//! What has to hold at every instant, whatever goes wrong.

mod one_leader;
mod one_state;

use std::collections::BTreeSet;

use steeple_core::AuthorityKind;

use crate::node::Node;
use crate::world::World;
use one_leader::OneLeader;
use one_state::OneState;

/// Looks after every step.
#[derive(Default)]
pub struct Watch {
    one_state: OneState,
    one_leader: OneLeader,
    /// X.509 authorities that signed.
    activated: BTreeSet<String>,
}

impl Watch {
    pub fn look(&mut self, world: &World) {
        for node in &world.nodes {
            if let Some(why) = node.ended() {
                world.find("servers go on", Err(format!("server {} ended: {why}", node.number)));
            }
            self.look_at(world, node);
        }
    }

    fn look_at(&mut self, world: &World, node: &Node) {
        let Some(replica) = node.replica() else { return };
        let active = replica.state().read().active_authority(AuthorityKind::X509).map(|active| active.id.clone());
        self.activated.extend(active);
        let (index, hash) = replica.state_hash();
        world.find("one state", self.one_state.seen(node.number, index, hash));
        let leadership = *replica.leadership().borrow();
        if leadership.is_leader {
            world.find("one leader in a term", self.one_leader.seen(leadership.term, replica.node_id()));
        }
    }

    /// Terms that had a leader.
    pub fn terms(&self) -> u64 {
        self.one_leader.terms()
    }

    pub fn authorities_activated(&self) -> u64 {
        self.activated.len() as u64
    }
}
