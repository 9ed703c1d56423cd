//! How the leader asks who holds the bundle: as `acknowledgement::gather` of the server, without the network.

use std::time::Duration;

use steeple_ca::acknowledgement::{Answer, Memory, Question, Tally, tally};
use steeple_core::SpiffeId;

use super::entry::{self, agent_id};
use super::world::{Replica, World};
use super::{AGENTS, Fault, OURS, REPLICAS, Rotation};

impl Rotation {
    /// What all replicas know together, when they are asked a second time about those that one of them misses.
    pub fn gather(&self, world: &World) -> Tally {
        let first = self.gather_once(world);
        if first.missing_agents.is_empty() {
            return first;
        }
        let missing_elsewhere = first.missing_agents.into_iter().collect();
        self.ask(world, Question { missing_elsewhere, ..self.question(world) })
    }

    pub fn gather_once(&self, world: &World) -> Tally {
        self.ask(world, self.question(world))
    }

    /// Of the own bundle in a replica's state.
    pub fn sequence(&self, world: &World, replica: u8) -> u8 {
        let state = self.machine.after(&world.log[..world.replica(replica).applied]);
        let sequence = state.own_bundle().map_or(0, |bundle| bundle.sequence);
        u8::try_from(sequence).unwrap_or(u8::MAX)
    }

    /// The bundle as it is.
    fn question(&self, world: &World) -> Question {
        let sequence = u64::from(self.sequence(world, world.leader));
        let earlier = u64::from(self.fault == Some(Fault::EarlierBundleCounts));
        Question { sequence: sequence - earlier, ..Question::default() }
    }

    fn ask(&self, world: &World, question: Question) -> Tally {
        let mut answers: Vec<Option<Answer>> =
            REPLICAS.into_iter().map(|replica| self.answer(world, replica, &question)).collect();
        if self.fault == Some(Fault::SilentReplicasAreLeftOut) {
            answers.retain(Option::is_some);
        }
        tally(question.sequence, &answers)
    }

    fn answer(&self, world: &World, replica: u8, question: &Question) -> Option<Answer> {
        let known = world.replica(replica);
        if !known.answers() {
            return None;
        }
        let state = self.machine.after(&world.log[..known.applied]);
        let lets_in = |id: &SpiffeId| state.agent(id).is_some_and(|agent| !agent.is_banned());
        let answer = known.memory().answer(known.listens_for(world), question, lets_in);
        let applied = u64::from(self.sequence(world, replica));
        let sequence = if self.fault == Some(Fault::LaggingReplicasCount) { question.sequence } else { applied };
        let complete = answer.complete || self.fault == Some(Fault::NewReplicasKnowEverybody);
        Some(Answer { sequence, complete, ..answer })
    }
}

impl Replica {
    fn listens_for(&self, world: &World) -> Duration {
        world.now.since_beginning() - self.began()
    }

    fn began(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.since_beginning())
    }

    /// The real memory, after what it was told.
    fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for agent in AGENTS {
            let Some((at, sequence)) = self.seen[usize::from(agent)] else { continue };
            let (at, id) = (at.since_beginning() - self.began(), agent_id(agent));
            memory.authenticated(at, &id, entry::SIGNER);
            match agent {
                OURS => memory.reported(at, &id, u64::from(sequence)),
                _ => memory.fetched(at, &id, u64::from(sequence)),
            }
        }
        memory
    }
}
