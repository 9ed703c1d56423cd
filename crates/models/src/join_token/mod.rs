//! Join tokens. An operator makes one; two machines have it, one of which calls again when it hears nothing; replicas
//! that lead are deposed with what was appended, committed or on its way back, or are never heard of again.
//!
//! Real: `State::apply` with its memory of request ids. Around it, as the server does it: a call looks at the token on
//! a confirmed view, has an SVID signed once, and is proposed under one request id until an outcome is heard.

mod entry;
mod promises;
mod world;

use stateright::{Model, Property};

use crate::machine::Machine;
use crate::{Mutant, Scenario};
use entry::Entry;
use world::{Answer, Client, FOLLOWERS, Step, World};

pub struct JoinToken {
    machine: Machine<Entry>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The token is looked at, the agent recorded, and then the token deleted.
    CheckThenDelete,
    /// A repeated proposal is a new request.
    FreshRequestPerTry,
    /// A repeated proposal brings another SVID along.
    SignedAgainPerTry,
    /// The agent hears of its SVID as soon as the leader has the command.
    AnsweredBeforeCommit,
    /// The token is deleted by whoever looks at it, and the agent recorded afterwards.
    TakenWhenLookedAt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The replica of that number is called, and looks at the token.
    Begin(Client, u8),
    Append(usize),
    Commit,
    Hear(usize),
    /// The client waits no longer; the replica goes on.
    Leave(usize),
    /// Another replica leads; of what was appended the first so many are kept.
    Elect {
        next: u8,
        kept: usize,
    },
}

impl Scenario for JoinToken {
    type Fault = Fault;

    const NAME: &'static str = "join token";
    const MUTANTS: &'static [Mutant<Fault>] = &[
        Mutant { fault: Fault::CheckThenDelete, finds: promises::ONE_MACHINE },
        Mutant { fault: Fault::FreshRequestPerTry, finds: promises::OWN_ATTESTATION },
        Mutant { fault: Fault::FreshRequestPerTry, finds: promises::ONE_MACHINE },
        Mutant { fault: Fault::SignedAgainPerTry, finds: promises::ON_RECORD },
        Mutant { fault: Fault::AnsweredBeforeCommit, finds: promises::ON_RECORD },
        Mutant { fault: Fault::CheckThenDelete, finds: promises::NEVER_LOST },
        Mutant { fault: Fault::TakenWhenLookedAt, finds: promises::NEVER_LOST },
    ];

    fn new(fault: Option<Fault>) -> Self {
        Self { machine: Machine::new(entry::start()), fault }
    }

    fn snapshots(&self) -> usize {
        self.machine.snapshots()
    }
}

impl Model for JoinToken {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::begin()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for client in Client::ALL.into_iter().filter(|client| world.may_call(*client)) {
            actions.extend(world.doors().map(|replica| Action::Begin(client, replica)));
        }
        for (at, call) in world.calls() {
            match call.step {
                Step::Signed | Step::Unknown => actions.push(Action::Append(at)),
                Step::Committed(_) => actions.push(Action::Hear(at)),
                Step::Appended | Step::Over(_) => {}
            }
            if world.may_leave(at, call) {
                actions.push(Action::Leave(at));
            }
        }
        if !world.appended.is_empty() {
            actions.push(Action::Commit);
        }
        if world.elections < ELECTIONS_MAX {
            for next in FOLLOWERS {
                actions.extend((0..=world.appended.len()).map(|kept| Action::Elect { next, kept }));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Begin(client, replica) => self.begin(&mut world, client, replica),
            Action::Append(at) => self.append(&mut world, at),
            Action::Commit => world.commit_first(),
            Action::Hear(at) => {
                let Step::Committed(index) = world.call(at).step else { return None };
                let outcome = self.machine.outcome(&world.log[..=index]);
                let serial = self.serial(at, world.call(at).tries);
                world.call_mut(at).hear(&outcome, serial);
            }
            Action::Leave(at) => world.call_mut(at).waits = false,
            Action::Elect { next, kept } => world.elect(next, kept),
        }
        world.simplify();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl JoinToken {
    fn begin(&self, world: &mut World, client: Client, replica: u8) {
        let is_there = self.machine.after(&world.log).join_token(entry::TOKEN).is_some();
        let goes_on = client == Client::Operator || is_there;
        if client != Client::Operator && is_there && self.fault == Some(Fault::TakenWhenLookedAt) {
            world.log.push(Entry::DeleteToken);
        }
        world.begin_call(client, replica, if goes_on { Step::Signed } else { Step::Over(Answer::Refused) });
    }

    /// One try of a proposal, at the leader.
    fn append(&self, world: &mut World, at: usize) {
        let call = world.call_mut(at);
        call.tries += 1;
        call.step = Step::Appended;
        let (client, tries) = (call.client, call.tries);
        let request = match self.fault {
            Some(Fault::FreshRequestPerTry) => numbered(at, tries),
            _ => numbered(at, 0),
        };
        match (client, self.fault) {
            (Client::Operator, _) => world.appended.push((at, Entry::Create { request })),
            (Client::Machine(_), Some(Fault::CheckThenDelete)) => {
                let serial = self.serial(at, tries);
                world.appended.push((at, Entry::Attest { request, serial, takes_token: false }));
                world.appended.push((usize::MAX, Entry::DeleteToken));
            }
            (Client::Machine(_), _) => {
                let serial = self.serial(at, tries);
                let takes_token = self.fault != Some(Fault::TakenWhenLookedAt);
                world.appended.push((at, Entry::Attest { request, serial, takes_token }));
                if self.fault == Some(Fault::AnsweredBeforeCommit) {
                    world.call_mut(at).let_in(serial);
                }
            }
        }
    }

    /// Of the SVID that a call brings along.
    fn serial(&self, call: usize, tries: u8) -> u8 {
        numbered(call, if self.fault == Some(Fault::SignedAgainPerTry) { tries } else { 0 })
    }
}

/// A number that names a call, and one of its tries where that matters.
fn numbered(call: usize, tries: u8) -> u8 {
    1 + u8::try_from(call).unwrap_or(u8::MAX / NUMBERS_PER_CALL) * NUMBERS_PER_CALL + tries
}

/// Which call a number names.
fn call_of(number: u8) -> usize {
    usize::from((number - 1) / NUMBERS_PER_CALL)
}

const NUMBERS_PER_CALL: u8 = 4;
const ELECTIONS_MAX: u8 = 2;
