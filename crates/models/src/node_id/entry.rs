//! What the log holds. Disks are numbered in the order in which they were first used; those of the founders are 0 to 2.

use steeple_core::Timestamp;
use steeple_state::{Command, CommandKind, Member, State, Suffrage, Uuid};

use crate::founded::{facts, founded, run};
use crate::machine::{LogEntry, driven};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    Allocate { disk: u8, tries: u8 },
    Forget { id: u8 },
    Members(Membership),
    Write,
}

/// Raft's own: who belongs to it with which disk, and who votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Membership {
    /// By id, from 1 on.
    nodes: [Option<u8>; IDS_MAX],
    voters: [bool; IDS_MAX],
}

/// Three founders, two disks that replace others, and what mutants waste.
const IDS_MAX: usize = 8;

impl LogEntry for Entry {
    fn command(self) -> Command {
        driven(
            NOW,
            match self {
                Self::Allocate { disk, tries } => {
                    CommandKind::AllocateMember { member: facts(storage_uuid(disk, tries), name(host_of(disk))) }
                }
                Self::Forget { id } => CommandKind::RemoveMember { node_id: u64::from(id) },
                // Raft's own entries do not come to the machine.
                Self::Members(_) | Self::Write => CommandKind::Noop,
            },
        )
    }
}

impl Membership {
    /// The three founders vote.
    pub fn first() -> Self {
        let mut first = Self { nodes: [None; IDS_MAX], voters: [false; IDS_MAX] };
        for disk in 0..3 {
            first = first.with_node(disk + 1, disk).with_vote(disk + 1);
        }
        first
    }

    pub fn voters(&self) -> impl Iterator<Item = u8> {
        (1..=IDS_MAX as u8).filter(|id| self.votes(*id))
    }

    /// Ids with their disks.
    pub fn nodes(&self) -> impl Iterator<Item = (u8, u8)> {
        (1..=IDS_MAX as u8).filter_map(|id| Some((id, self.disk(id)?)))
    }

    pub fn disk(&self, id: u8) -> Option<u8> {
        self.nodes.get(place(id)).copied().flatten()
    }

    pub fn votes(&self, id: u8) -> bool {
        self.voters.get(place(id)) == Some(&true)
    }

    pub fn is_majority(&self, of: impl Iterator<Item = u8>) -> bool {
        of.filter(|id| self.votes(*id)).count() > self.voters().count() / 2
    }

    pub fn with_node(mut self, id: u8, disk: u8) -> Self {
        self.nodes[place(id)] = Some(disk);
        self
    }

    pub fn without_node(mut self, id: u8) -> Self {
        self.nodes[place(id)] = None;
        self
    }

    pub fn with_vote(mut self, id: u8) -> Self {
        self.voters[place(id)] = true;
        self
    }

    /// `id` 0 is nobody.
    pub fn without_vote(mut self, id: u8) -> Self {
        if let Some(vote) = self.voters.get_mut(place(id)) {
            *vote = false;
        }
        self
    }
}

fn place(id: u8) -> usize {
    usize::from(id).wrapping_sub(1)
}

/// Three members.
pub fn start() -> State {
    let mut state = founded(NOW);
    for disk in 1..3 {
        run(&mut state, NOW, Entry::Allocate { disk, tries: 0 }.command().kind);
    }
    state
}

/// As the list of members has it.
pub fn member(id: u8, disk: u8) -> Member {
    let facts = facts(storage_uuid(disk, 0), name(host_of(disk)));
    Member { node_id: u64::from(id), facts, suffrage: Suffrage::Auto }
}

/// The first one is what the founder has.
pub fn storage_uuid(disk: u8, tries: u8) -> Uuid {
    let mut uuid = [disk + 1; 16];
    uuid[15] += tries * TRIES_STEP;
    uuid
}

pub fn disk_of(storage_uuid: &Uuid) -> u8 {
    storage_uuid[0] - 1
}

pub fn name(host: u8) -> &'static str {
    ["a", "b", "c"][usize::from(host)]
}

/// A disk says where it is used: those of the founders are at the host of their number, and each further one has the
/// number of its host in its own.
pub fn host_of(disk: u8) -> u8 {
    disk % 3
}

const TRIES_STEP: u8 = 64;
const NOW: Timestamp = Timestamp::from_secs(1_000);
