//! Ids of members. Three hosts, each with a disk; disks are taken away, empty ones join as new members, and the old
//! ones may come back; leaders stop with the allocation on its way, and answers to joiners are lost.
//!
//! Real: `State::apply` (allocation, the list of members), the leader's care for the membership
//! (`raft::membership_plan`), and what a replica makes of a peer that its Raft does not know (`raft::members`). Around
//! it is Raft in little: one log, of which each disk has a beginning; an entry is committed by a majority of the
//! voters, a change of the membership by one of the old and one of the new voters; who is elected has all that a
//! majority has.

mod entry;
mod promises;
mod raft;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Model, Property};
use steeple_server_raft::raft::models::{Change, Seen, next_change};
use steeple_state::{Outcome, State};

use crate::machine::Machine;
use crate::{Mutant, Scenario};
use entry::{Entry, Membership};
use world::{Budget, HOSTS, World};

pub struct NodeIds {
    machine: Machine<Entry>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A joiner gets the id of the member that had its name.
    IdOfTheName,
    /// A joiner gets the lowest id that no member has.
    LowestFreeId,
    /// A host has its id from its configuration, and nobody asks for its disk.
    IdFromConfiguration,
    /// A joiner that asks again has another UUID.
    NewUuidPerTry,
    /// The joiner is answered as soon as the leader has the command.
    AnsweredBeforeCommit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Somebody's command, which says nothing of members.
    Write,
    /// The host's disk has no id yet.
    Join(u8),
    Answer,
    LoseAnswer,
    /// The leader cares for the membership.
    Care,
    Replicate(u8),
    Commit,
    Elect(u8),
    /// The host is started on an empty disk.
    Wipe(u8),
    /// The host is started on the disk that it had first.
    BringBack(u8),
}

impl Scenario for NodeIds {
    type Fault = Fault;

    const NAME: &'static str = "node id";
    const MUTANTS: &'static [Mutant<Fault>] = &[
        Mutant { fault: Fault::IdOfTheName, finds: promises::ONE_DISK },
        Mutant { fault: Fault::LowestFreeId, finds: promises::ONE_DISK },
        Mutant { fault: Fault::IdFromConfiguration, finds: promises::NOTHING_LOST },
        Mutant { fault: Fault::IdFromConfiguration, finds: promises::OWN_ID },
        Mutant { fault: Fault::NewUuidPerTry, finds: promises::ONE_MEMBER },
        Mutant { fault: Fault::AnsweredBeforeCommit, finds: promises::ONE_DISK },
    ];

    fn new(fault: Option<Fault>) -> Self {
        Self { machine: Machine::new(entry::start()), fault }
    }

    fn snapshots(&self) -> usize {
        self.machine.snapshots()
    }
}

impl Model for NodeIds {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        BUDGETS.map(World::begin).into()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.leader.is_some() && !world.is_writing() {
            if world.left.writes > 0 {
                actions.push(Action::Write);
            }
            actions.push(Action::Care);
        }
        if world.is_writing() && self.may_commit(world) {
            actions.push(Action::Commit);
        }
        if world.answer.is_some() {
            actions.extend([Action::Answer, Action::LoseAnswer]);
        }
        for host in HOSTS {
            let disk = world.attached(host);
            if world.leader.is_some() && !world.is_writing() && self.may_join(world, host) {
                actions.push(Action::Join(host));
            }
            if self.may_replicate(world, disk) {
                actions.push(Action::Replicate(disk));
            }
            if world.left.elections > 0 && world.leader != Some(disk) && self.may_lead(world, disk) {
                actions.push(Action::Elect(disk));
            }
            if world.left.wipes > 0 && !world.has_twin(host) {
                actions.push(Action::Wipe(host));
            }
            if world.left.returns > 0 && disk != host {
                actions.push(Action::BringBack(host));
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Write => {
                world.left.writes -= 1;
                world.append(Entry::Write);
            }
            Action::Join(host) => self.join(&mut world, host),
            Action::Answer => {
                let (disk, id) = world.answer.take()?;
                world.disk_mut(disk).id = Some(id);
            }
            Action::LoseAnswer => world.answer = None,
            Action::Care => {
                let entry = self.care(&world)?;
                world.append(entry);
            }
            Action::Replicate(disk) => world.replicate(disk),
            Action::Commit => self.commit(&mut world),
            Action::Elect(disk) => world.elect(disk),
            Action::Wipe(host) => {
                let id = world.disk(world.attached(host)).id;
                world.wipe(host, id.filter(|_| self.fault == Some(Fault::IdFromConfiguration)));
            }
            Action::BringBack(host) => world.bring_back(host),
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl NodeIds {
    /// As the leader admits: not while a member of that name is alive on another disk.
    fn may_join(&self, world: &World, host: u8) -> bool {
        let disk = world.attached(host);
        let state = self.committed(world);
        let namesakes = state.members().filter(|member| member.facts.name == entry::name(host));
        let is_alive = |member: &steeple_state::Member| {
            let found = entry::disk_of(&member.facts.storage_uuid);
            found != disk && world.is_attached(found)
        };
        let waits = world.answer.is_some_and(|(asked, _)| asked == disk);
        let asked = world.asked(disk) < TRIES_MAX;
        world.disk(disk).id.is_none() && !waits && asked && !namesakes.into_iter().any(is_alive)
    }

    fn join(&self, world: &mut World, host: u8) {
        let disk = world.attached(host);
        let state = self.committed(world);
        if self.fault == Some(Fault::IdOfTheName) {
            let namesake = state.members().find(|member| member.facts.name == entry::name(host));
            world.answer = namesake.map(|member| (disk, small(member.node_id)));
            return;
        }
        let tries = if self.fault == Some(Fault::NewUuidPerTry) { world.asked(disk) } else { 0 };
        world.append(Entry::Allocate { disk, tries });
        if self.fault == Some(Fault::AnsweredBeforeCommit) {
            world.answer = state.cluster().map(|cluster| (disk, small(cluster.node_id_next)));
        }
    }

    fn commit(&self, world: &mut World) {
        let before = self.committed(world);
        world.committed = world.log.len();
        let Some(Entry::Allocate { disk, .. }) = world.log.last().copied() else { return };
        let Outcome::Member { node_id } = *self.machine.outcome(&world.log) else { return };
        let lowest_free = (1..).find(|id| before.member(*id).is_none()).unwrap_or(node_id);
        let node_id = if self.fault == Some(Fault::LowestFreeId) { lowest_free } else { node_id };
        if world.disk(disk).id.is_none() {
            world.answer = Some((disk, small(node_id)));
        }
    }

    /// The entry that the next change of the membership takes.
    fn care(&self, world: &World) -> Option<Entry> {
        let leader = world.leader?;
        let state = self.committed(world);
        let membership = world.membership(world.log.len());
        let change = next_change(Seen {
            leader: u64::from(world.disk(leader).id?),
            state: &state,
            voters: membership.voters().map(u64::from).collect(),
            nodes: membership.nodes().map(|(id, disk)| entry::member(id, disk)).collect(),
            last_log: world.log.len() as u64,
            matched: self.matched(world, &membership),
            heard: self.heard(world, &state),
        })?;
        Some(match change {
            Change::AddLearner(id) => {
                let disk = entry::disk_of(&state.member(id)?.facts.storage_uuid);
                Entry::Members(membership.with_node(small(id), disk))
            }
            Change::Promote { learner, replaces } => {
                let kept = membership.without_vote(replaces.map_or(0, small));
                Entry::Members(kept.with_vote(small(learner)))
            }
            Change::Demote(id) => Entry::Members(membership.without_vote(small(id))),
            // A voter stays for a moment as a learner.
            Change::Remove(id) if membership.votes(small(id)) => Entry::Members(membership.without_vote(small(id))),
            Change::Remove(id) => Entry::Members(membership.without_node(small(id))),
            Change::Forget(id) => Entry::Forget { id: small(id) },
            // No configuration is joint here, and no member moves.
            Change::Settle | Change::Update(_) => return None,
        })
    }

    fn matched(&self, world: &World, membership: &Membership) -> BTreeMap<u64, u64> {
        let known = |(id, disk): (u8, u8)| (u64::from(id), world.disk(disk).length as u64);
        membership.nodes().map(known).collect()
    }

    fn heard(&self, world: &World, state: &State) -> BTreeSet<u64> {
        let answers = |member: &&steeple_state::Member| {
            let disk = entry::disk_of(&member.facts.storage_uuid);
            world.is_attached(disk) && world.disk(disk).id.map(u64::from) == Some(member.node_id)
        };
        state.members().filter(answers).map(|member| member.node_id).collect()
    }

    fn committed(&self, world: &World) -> std::sync::Arc<State> {
        self.machine.after(&world.log[..world.committed])
    }
}

/// Ids stay so low here.
fn small(id: u64) -> u8 {
    u8::try_from(id).unwrap_or(u8::MAX)
}

/// Not all at once: the bounds multiply.
const BUDGETS: [Budget; 2] = [
    Budget { writes: 1, wipes: 1, returns: 1, elections: 2 },
    Budget { writes: 0, wipes: 2, returns: 0, elections: 1 },
];
/// Of one disk to join.
const TRIES_MAX: u8 = 2;
