//! What has to hold, and what has to happen for that to mean something.

use std::collections::BTreeSet;

use stateright::Property;
use steeple_server_raft::peer::Standing;

use super::NodeIds;
use super::entry::{self, Entry};
use super::world::{HOSTS, World};

pub const ONE_DISK: &str = "an id belongs to one disk for ever";
pub const ONE_MEMBER: &str = "a disk is one member";
pub const NOTHING_LOST: &str = "who is elected has all that was acknowledged";
pub const OWN_ID: &str = "a disk votes under the id that the log gave to it";

type Promise = Property<NodeIds>;

pub fn all() -> Vec<Promise> {
    vec![
        Promise::always(ONE_DISK, |_, world: &World| {
            let mut ids = BTreeSet::new();
            world.used().filter_map(|(_, disk)| disk.id).all(|id| ids.insert(id))
        }),
        Promise::always(ONE_MEMBER, |model, world| {
            let mut disks = BTreeSet::new();
            model.committed(world).members().all(|member| disks.insert(entry::disk_of(&member.facts.storage_uuid)))
        }),
        Promise::always(NOTHING_LOST, |_, world| !world.lost),
        Promise::always(OWN_ID, |model, world| {
            let state = model.committed(world);
            let membership = world.membership(world.committed);
            membership.voters().all(|id| {
                let listed = state.member(u64::from(id)).map(|member| entry::disk_of(&member.facts.storage_uuid));
                let voting = world.used().filter(|(_, disk)| disk.id == Some(id)).map(|(number, _)| number);
                voting.into_iter().all(|disk| listed.is_none_or(|listed| listed == disk))
            })
        }),
        Promise::sometimes("a disk that replaces another votes under a new id", |_, world| {
            world.replacements_that_vote() > 0
        }),
        Promise::sometimes("the id of a disk that is gone leaves the cluster", |model, world| {
            let is_left = model.committed(world).member(2).is_none();
            is_left && world.membership(world.committed).disk(2).is_none()
        }),
        Promise::sometimes("two disks are replaced", |_, world| world.replacements_that_vote() > 1),
        Promise::sometimes("a joiner asks again and gets the id that it has", |_, world| {
            world.used().any(|(number, disk)| disk.id.is_some() && world.asked(number) > 1)
        }),
        Promise::sometimes("an allocation is on its way under a later leader", |_, world| {
            let allocates = matches!(world.log.last(), Some(Entry::Allocate { .. }));
            world.left.elections == 0 && world.is_writing() && allocates
        }),
        Promise::sometimes("a disk that was replaced comes back, and the leader turns it away", |model, world| {
            let Some(leader) = world.leader else { return false };
            let is_back = |host: u8| world.attached(host) == host && world.used().any(|(disk, _)| disk == host + 3);
            let is_away = |disk: u8| {
                let node = model.is_node(world, world.log.len(), disk + 1, disk);
                !node && model.standing(world, leader, disk, disk + 1) == Standing::Stranger
            };
            HOSTS.into_iter().any(|host| is_back(host) && is_away(host))
        }),
        Promise::sometimes("an entry is acknowledged while a disk is missing", |_, world| {
            let is_missing =
                world.used().any(|(disk, known)| !world.is_attached(disk) && known.length < world.committed);
            is_missing && world.log.ends_with(&[Entry::Write]) && !world.is_writing()
        }),
    ]
}

impl World {
    fn replacements_that_vote(&self) -> usize {
        let membership = self.membership(self.committed);
        membership.voters().filter(|id| usize::from(*id) > HOSTS.len()).count()
    }
}
