//! Raft in little. What it leaves out of terms is made up for by a shortcut: with an election, every disk loses at once
//! what the new leader does not have.

use std::collections::BTreeSet;

use steeple_server_raft::peer::{PeerId, Standing};
use steeple_server_raft::raft::models::standing_by_list;

use super::entry::{Entry, storage_uuid};
use super::world::World;
use super::{Fault, NodeIds};
use crate::founded::CLUSTER_UUID;

impl World {
    /// The last entry is not committed.
    pub fn is_writing(&self) -> bool {
        self.log.len() > self.committed
    }

    /// By the leader.
    pub fn append(&mut self, entry: Entry) {
        self.log.push(entry);
        if let Some(leader) = self.leader {
            self.disk_mut(leader).length = self.log.len();
            self.holders = self.disk(leader).id.into_iter().collect();
        }
    }

    pub fn replicate(&mut self, disk: u8) {
        self.disk_mut(disk).length = self.log.len();
        self.holders.extend(self.disk(disk).id);
    }

    pub fn elect(&mut self, disk: u8) {
        let length = self.disk(disk).length;
        self.lost |= length < self.committed;
        self.committed = self.committed.min(length);
        self.log.truncate(length);
        for disk in self.disks.iter_mut().flatten() {
            disk.length = disk.length.min(length);
        }
        self.leader = Some(disk);
        self.holders = self.disk(disk).id.into_iter().collect::<BTreeSet<_>>();
        self.left.elections -= 1;
    }
}

impl NodeIds {
    /// Whether the leader reaches the disk under the id that it has.
    pub fn may_replicate(&self, world: &World, disk: u8) -> bool {
        let Some((leader, id)) = world.leader.zip(world.disk(disk).id) else { return false };
        let is_member = self.is_node(world, world.disk(leader).length, id, disk);
        world.is_attached(disk) && leader != disk && is_member && !world.holders.contains(&id)
    }

    /// A change of the membership needs both majorities.
    pub fn may_commit(&self, world: &World) -> bool {
        let length = world.log.len();
        let hold = |length| world.membership(length).is_majority(world.holders.iter().copied());
        world.leader.is_some() && hold(length - 1) && hold(length)
    }

    pub fn may_lead(&self, world: &World, candidate: u8) -> bool {
        let Some(id) = world.disk(candidate).id.filter(|_| world.is_attached(candidate)) else { return false };
        let length = world.disk(candidate).length;
        let membership = world.membership(length);
        let grants = world.used().filter_map(|(disk, known)| {
            let granted = known.id.filter(|_| world.is_attached(disk) && known.length <= length)?;
            let is_dialled = self.is_node(world, length, granted, disk);
            (is_dialled && (disk == candidate || self.listens(world, disk, candidate, id))).then_some(granted)
        });
        membership.votes(id) && membership.is_majority(grants)
    }

    /// Whether a replica lets another one speak.
    fn listens(&self, world: &World, disk: u8, other: u8, id: u8) -> bool {
        self.is_node(world, world.disk(disk).length, id, other)
            || self.standing(world, disk, other, id) != Standing::Stranger
    }

    /// What the list of members says to `disk` of `other`.
    pub fn standing(&self, world: &World, disk: u8, other: u8, id: u8) -> Standing {
        let applied = world.disk(disk).length.min(world.committed);
        let peer = PeerId { cluster_uuid: CLUSTER_UUID, node_id: u64::from(id), storage_uuid: storage_uuid(other, 0) };
        standing_by_list(&self.machine.after(&world.log[..applied]), &peer)
    }

    /// In the eyes of somebody who has so much of the log: a certificate has to name the disk that was dialled.
    pub fn is_node(&self, world: &World, length: usize, id: u8, disk: u8) -> bool {
        let known = world.membership(length).disk(id);
        match self.fault {
            Some(Fault::IdFromConfiguration) => known.is_some(),
            _ => known == Some(disk),
        }
    }
}
