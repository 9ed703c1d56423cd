//! Replicas that are killed, lag and remember; agents that move between them. Whatever the order of events, nobody who
//! is alive and lacks the bundle is overlooked.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use steeple_ca::acknowledgement::{Answer, LIVE_WITHIN, Memory, Question, tally};
use steeple_ca::lifecycle::AckState;
use steeple_core::SpiffeId;

const REPLICAS: usize = 3;
const AGENTS: usize = 5;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// In tenths of the time for which an agent counts as alive.
    TimePasses(u32),
    /// The leader publishes another authority.
    Publish,
    CatchUp(usize),
    /// The agent is given the bundle of the replica, and serves it if it applies it.
    Fetch {
        agent: usize,
        replica: usize,
        applies: bool,
    },
    /// The agent only authenticates.
    Authenticate {
        agent: usize,
        replica: usize,
    },
    Kill(usize),
    Restart(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let (agent, replica) = (0..AGENTS, 0..REPLICAS);
    prop_oneof![
        3 => (0_u32..15).prop_map(Event::TimePasses),
        2 => Just(Event::Publish),
        4 => replica.clone().prop_map(Event::CatchUp),
        9 => (agent.clone(), replica.clone(), any::<bool>())
            .prop_map(|(agent, replica, applies)| Event::Fetch { agent, replica, applies }),
        2 => (agent, replica.clone()).prop_map(|(agent, replica)| Event::Authenticate { agent, replica }),
        1 => replica.clone().prop_map(Event::Kill),
        1 => replica.prop_map(Event::Restart),
    ]
}

#[derive(Default)]
struct Replica {
    memory: Memory,
    started_at: Duration,
    /// Of the bundle in its state.
    sequence: u64,
    down: bool,
}

#[derive(Clone, Copy, Default)]
struct Agent {
    holds: u64,
    /// Odd agents say what they hold, as ours do; even ones only fetch, as SPIRE's do.
    seen_at: Option<Duration>,
}

#[derive(Default)]
struct World {
    now: Duration,
    sequence: u64,
    replicas: [Replica; REPLICAS],
    agents: BTreeMap<usize, Agent>,
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::TimePasses(tenths) => self.now += LIVE_WITHIN * tenths / 10,
            Event::Publish => self.sequence += 1,
            Event::CatchUp(replica) => self.replicas[replica].sequence = self.sequence,
            Event::Kill(replica) => self.replicas[replica] = Replica { down: true, ..Replica::default() },
            Event::Restart(replica) => {
                let started_at = self.now;
                let sequence = self.replicas[replica].sequence;
                self.replicas[replica] = Replica { started_at, sequence, ..Replica::default() };
            }
            Event::Authenticate { agent, replica } => self.meet(agent, replica, |_, _, _, _| {}),
            Event::Fetch { agent, replica, applies } => self.meet(agent, replica, |at, id, replica, state| {
                let reports = agent % 2 == 1;
                if applies || !reports {
                    state.holds = state.holds.max(replica.sequence);
                }
                replica.memory.fetched(at, id, replica.sequence);
                if reports {
                    replica.memory.reported(at, id, state.holds);
                }
            }),
        }
    }

    fn meet(&mut self, agent: usize, replica: usize, what: impl Fn(Duration, &SpiffeId, &mut Replica, &mut Agent)) {
        let replica = &mut self.replicas[replica];
        if replica.down {
            return;
        }
        let at = self.now - replica.started_at;
        let state = self.agents.entry(agent).or_default();
        state.seen_at = Some(self.now);
        replica.memory.authenticated(at, &id(agent), b"authority");
        what(at, &id(agent), replica, state);
    }

    /// As a replica asks: once, and again about those who are missing.
    fn ask(&self) -> AckState {
        let mut question = Question { sequence: self.sequence, ..Question::default() };
        let missing = tally(self.sequence, &self.answers(&question)).missing_agents;
        question.missing_elsewhere = missing.into_iter().collect();
        tally(self.sequence, &self.answers(&question)).state()
    }

    fn answers(&self, question: &Question) -> Vec<Option<Answer>> {
        let answer = |replica: &Replica| {
            let known = replica.memory.answer(self.now - replica.started_at, question, |_| true);
            Answer { sequence: replica.sequence, ..known }
        };
        self.replicas.iter().map(|replica| (!replica.down).then(|| answer(replica))).collect()
    }

    fn lacking(&self) -> Vec<usize> {
        let alive = |agent: &Agent| agent.seen_at.is_some_and(|at| self.now - at < LIVE_WITHIN);
        let lacking = self.agents.iter().filter(|(_, agent)| alive(agent) && agent.holds < self.sequence);
        lacking.map(|(number, _)| *number).collect()
    }
}

fn id(agent: usize) -> SpiffeId {
    SpiffeId::parse(&format!("spiffe://example.org/spire/agent/{agent}")).expect("an ID")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nobody_who_lacks_the_bundle_is_overlooked(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::default();
        for event in events {
            world.happen(event);
            if world.ask() == AckState::All {
                prop_assert_eq!(world.lacking(), Vec::<usize>::new(), "after {:?}", event);
            }
        }
    }

    /// Once everything has come to rest and every agent synced, nobody is waited for.
    #[test]
    fn the_wait_ends(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::default();
        for event in events {
            world.happen(event);
        }
        for replica in 0..REPLICAS {
            if world.replicas[replica].down {
                world.happen(Event::Restart(replica));
            }
            world.happen(Event::CatchUp(replica));
        }
        world.happen(Event::TimePasses(10));
        for agent in 0..AGENTS {
            world.happen(Event::Fetch { agent, replica: agent % REPLICAS, applies: true });
        }
        prop_assert_eq!(world.ask(), AckState::All);
    }
}
