//! The rotation of the X.509 authority. Two replicas that crash, forget, are cut off and lag; an agent of ours, which
//! says what bundle it serves, and one of SPIRE's, which fetches it; both fall silent, and move between the replicas.
//! An operator may replace the prepared authority by another one.
//!
//! Real: `ca::lifecycle::plan`, `ca::acknowledgement` (what each replica remembers, and the tally), `State::apply`.
//! Around it, as the server's driver does it: the leader asks all replicas, a second time about agents that one of them
//! misses, decides, and proposes under its own leadership; whoever signs holds the leader's fence.

mod acknowledgements;
mod entry;
mod instant;
mod promises;
mod world;

use stateright::{Model, Property};
use steeple_ca::lifecycle::{self, AckState, Plan};
use steeple_ca::policy::Policy;
use steeple_core::AuthorityKind;

use crate::machine::Machine;
use crate::{Mutant, Scenario};
use entry::Entry;
use world::{Activation, Budget, World};

pub struct Rotation {
    machine: Machine<Entry>,
    policy: Policy,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Time alone decides.
    NobodyIsAsked,
    /// Acknowledgements of the bundle before this one count.
    EarlierBundleCounts,
    /// A replica that does not answer is left out.
    SilentReplicasAreLeftOut,
    /// A replica that began to listen a moment ago is taken to know everybody.
    NewReplicasKnowEverybody,
    /// A replica that has not applied the bundle is asked like the others.
    LaggingReplicasCount,
    /// What was decided about one authority is done to whichever is prepared by then.
    DecisionOutlivesItsAuthority,
    /// A leader that was deposed signs.
    NoFence,
    /// The rows of an activation are written one by one, and a crash leaves the first.
    TornActivation,
    /// A leader decides when everybody has answered, and not before.
    WaitsForEverybody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Tick,
    /// The agent authenticates, says what it serves, and is given the bundle.
    Sync {
        agent: u8,
        replica: u8,
    },
    Apply(u8),
    /// The leader asks, decides, and takes a step.
    Plan,
    Commit,
    /// An operator puts another authority in the place of the prepared one.
    Replace,
    Crash {
        replica: u8,
        kept: bool,
    },
    Restart(u8),
    CutOff {
        replica: u8,
        kept: bool,
    },
    Mend(u8),
}

impl Scenario for Rotation {
    type Fault = Fault;

    const NAME: &'static str = "rotation";
    const MUTANTS: &'static [Mutant<Fault>] = &[
        Mutant { fault: Fault::NobodyIsAsked, finds: promises::TRUSTED },
        Mutant { fault: Fault::EarlierBundleCounts, finds: promises::TRUSTED },
        Mutant { fault: Fault::SilentReplicasAreLeftOut, finds: promises::TRUSTED },
        Mutant { fault: Fault::NewReplicasKnowEverybody, finds: promises::TRUSTED },
        Mutant { fault: Fault::LaggingReplicasCount, finds: promises::EVERY_REPLICA },
        Mutant { fault: Fault::DecisionOutlivesItsAuthority, finds: promises::TRUSTED },
        Mutant { fault: Fault::NoFence, finds: promises::ONE_SIGNS },
        Mutant { fault: Fault::TornActivation, finds: promises::ONE_ACTIVE },
        Mutant { fault: Fault::WaitsForEverybody, finds: promises::WAIT_ENDS },
    ];

    fn new(fault: Option<Fault>) -> Self {
        Self { machine: Machine::new(entry::start()), policy: instant::policy(), fault }
    }

    fn snapshots(&self) -> usize {
        self.machine.snapshots()
    }
}

impl Model for Rotation {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        BUDGETS.map(World::begin).into()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now.next().is_some() {
            actions.push(Action::Tick);
        }
        for (agent, replica) in AGENTS.into_iter().flat_map(|agent| REPLICAS.map(|replica| (agent, replica))) {
            let moves = world.agents[usize::from(agent)].home != replica;
            if world.replica(replica).up && (!moves || world.left.moves > 0) {
                actions.push(Action::Sync { agent, replica });
            }
        }
        if world.leader_may_act() {
            match &world.decision {
                Some(_) => actions.push(Action::Commit),
                None => actions.push(Action::Plan),
            }
            if world.may_replace() {
                actions.push(Action::Replace);
            }
        }
        for replica in REPLICAS {
            let known = world.replica(replica);
            if known.answers() && known.applied < world.log.len() {
                actions.push(Action::Apply(replica));
            }
            if !known.up {
                actions.push(Action::Restart(replica));
            }
            if known.up && known.cut_off {
                actions.push(Action::Mend(replica));
            }
            if known.answers() && world.left.faults > 0 {
                // What a leader has decided may have reached its successor.
                let kept = [false, true].into_iter().take(1 + usize::from(world.leader == replica && world.decides()));
                for kept in kept {
                    actions.push(Action::Crash { replica, kept });
                    actions.push(Action::CutOff { replica, kept });
                }
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Tick => world.tick(),
            Action::Sync { agent, replica } => self.sync(&mut world, agent, replica),
            Action::Apply(replica) => world.replica_mut(replica).applied += 1,
            Action::Plan => match self.plan(&world).step? {
                lifecycle::Step::Prepare(_) => {
                    world.write(Entry::Prepare { number: world.next_number(), at: world.now })
                }
                lifecycle::Step::Activate(id) => world.decision = Some(self.decision(&world, entry::number(&id))),
                lifecycle::Step::Forget(_) => return None,
            },
            Action::Commit => self.commit(&mut world),
            Action::Replace => {
                world.left.replacements -= 1;
                world.write(Entry::Prepare { number: world.next_number(), at: world.now });
            }
            Action::Crash { replica, kept } => {
                self.lose(&mut world, replica, kept);
                world.replica_mut(replica).crash();
            }
            Action::CutOff { replica, kept } => {
                self.lose(&mut world, replica, kept);
                world.replica_mut(replica).cut_off = true;
            }
            Action::Restart(replica) => world.restart(replica),
            Action::Mend(replica) => world.mend(replica),
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl Rotation {
    /// What the leader is to do.
    fn plan(&self, world: &World) -> Plan {
        let state = self.machine.after(&world.log);
        let set = state.authorities(AuthorityKind::X509);
        let acks = match set.prepared() {
            Some(_) if self.fault != Some(Fault::NobodyIsAsked) => self.gather(world).state(),
            _ => AckState::NotTracked,
        };
        let plan = lifecycle::plan(world.now.time(), AuthorityKind::X509, &self.policy, set, acks);
        match acks {
            AckState::Waiting { .. } if self.fault == Some(Fault::WaitsForEverybody) => Plan { step: None, ..plan },
            _ => plan,
        }
    }

    /// A decision to activate, with what is true at its moment.
    fn decision(&self, world: &World, number: u8) -> Activation {
        let state = self.machine.after(&world.log);
        let until = lifecycle::activation(&self.policy, state.authorities(AuthorityKind::X509)).map(|due| due.until);
        let lacks = |replica: &u8| world.replica(*replica).answers() && world.lacks_authority(*replica, number);
        Activation {
            number,
            by_time: until.is_none_or(|until| world.now.time() > until),
            silent: AGENTS.map(|agent| world.agents[usize::from(agent)].seen.is_none()),
            replica_lacks: REPLICAS.iter().any(lacks),
        }
    }

    fn commit(&self, world: &mut World) {
        let Some(mut decision) = world.decision.take() else { return };
        if self.fault == Some(Fault::DecisionOutlivesItsAuthority) {
            decision = Activation { number: world.next_number() - 1, ..decision };
        }
        world.write(match self.fault {
            Some(Fault::TornActivation) => Entry::TornActivation { number: decision.number },
            _ => Entry::Activate { number: decision.number },
        });
        let state = self.machine.after(&world.log);
        let active = state.active_authority(AuthorityKind::X509).map(|active| entry::number(&active.id));
        // Refused if another one was prepared meanwhile.
        if active == Some(decision.number) && world.activated.is_none() {
            world.activated = Some(decision);
        }
    }

    /// The replica falls silent; another one leads if it led, with or without what it had decided.
    fn lose(&self, world: &mut World, replica: u8, kept: bool) {
        world.left.faults -= 1;
        if kept {
            self.commit(world);
            world.replica_mut(replica).applied = world.replica(replica).applied.min(world.log.len() - 1);
        }
        world.depose(replica);
    }

    fn sync(&self, world: &mut World, agent: u8, replica: u8) {
        let sequence = self.sequence(world, replica);
        let now = world.now;
        let agent_state = &mut world.agents[usize::from(agent)];
        world.left.moves -= u8::from(agent_state.home != replica);
        agent_state.home = replica;
        agent_state.seen = Some(now);
        let serves = agent_state.holds;
        agent_state.holds = serves.max(sequence);
        let says = if agent == OURS { serves } else { agent_state.holds };
        world.replica_mut(replica).seen[usize::from(agent)] = Some((now, says));
    }
}

/// The agent that reports; the other one is known by what it fetches.
const OURS: u8 = 0;
const AGENTS: [u8; 2] = [0, 1];
const REPLICAS: [u8; 2] = [0, 1];
/// Not all at once: the bounds multiply.
const BUDGETS: [Budget; 2] =
    [Budget { faults: 1, moves: 1, replacements: 0 }, Budget { faults: 1, moves: 0, replacements: 1 }];
