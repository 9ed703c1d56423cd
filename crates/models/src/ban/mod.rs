//! Bans. An agent renews (or attests again), shows what it was given, and asks for its workloads' SVIDs, through
//! replicas that lag, were deposed without knowing it, or lead and have not caught up; somewhere in between it is
//! banned.
//!
//! Real: `authz::decide`, which lets an agent in and is asked again by the signer, and `State::apply`. Around it, as
//! the server does it: a denial is confirmed on a fresh view; a promotion is awaited; who signs holds a fence (the
//! lease of the leader, all applied); a renewal is given once its serial is committed.

mod call;
mod entry;
mod promises;
mod world;

use stateright::{Model, Property};
use steeple_core::Timestamp;
use steeple_server_raft::authz::{AgentDecision, decide};
use steeple_state::Outcome;

use crate::machine::Machine;
use crate::{Mutant, Scenario};
use call::{Answer, Call, Kind, Step};
use entry::Entry;
use world::{Ban, World};

pub struct Bans {
    machine: Machine<Entry>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The signer believes the replica that asks.
    SignerAsksNobody,
    /// A leader that was deposed signs.
    NoFence,
    /// A leader signs before it has applied what earlier ones acknowledged.
    SignsWhileCatchingUp,
    /// A renewal is given as soon as it is signed.
    RenewedBeforeCommit,
    /// A promotion writes the agent's record anew.
    PromotionRewrites,
    /// A replica that lags has the last word.
    DenialUnconfirmed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Begin {
        kind: Kind,
        replica: u8,
        serial: u8,
    },
    Authorize(usize),
    /// The replica's next step for a call that was let in.
    Go(usize),
    Commit(usize),
    /// A proposal is written once more, as after an answer that was lost.
    CommitAgain(usize),
    Hear(usize),
    CommitBan,
    AcknowledgeBan,
    /// The replica applies one more entry.
    Apply(u8),
    /// The other replica leads; the one before does not know.
    Depose,
    /// It learns of it.
    Heal,
}

impl Scenario for Bans {
    type Fault = Fault;

    const NAME: &'static str = "ban";
    const MUTANTS: &'static [Mutant<Fault>] = &[
        Mutant { fault: Fault::SignerAsksNobody, finds: promises::NOTHING_GIVEN },
        Mutant { fault: Fault::NoFence, finds: promises::NOTHING_GIVEN },
        Mutant { fault: Fault::SignsWhileCatchingUp, finds: promises::NOTHING_GIVEN },
        Mutant { fault: Fault::RenewedBeforeCommit, finds: promises::NOTHING_GIVEN },
        Mutant { fault: Fault::PromotionRewrites, finds: promises::STAYS_BANNED },
        Mutant { fault: Fault::DenialUnconfirmed, finds: promises::DENIED_IN_TRUTH },
    ];

    fn new(fault: Option<Fault>) -> Self {
        Self { machine: Machine::new(entry::start()), fault }
    }

    fn snapshots(&self) -> usize {
        self.machine.snapshots()
    }
}

impl Model for Bans {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::begin()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.calls.len() < CALLS_MAX {
            for (replica, serial) in
                REPLICAS.into_iter().flat_map(|replica| world.held().map(move |held| (replica, held)))
            {
                // An attestation shows no certificate.
                let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Attest || serial == entry::FIRST_SERIAL);
                actions.extend(kinds.map(|kind| Action::Begin { kind, replica, serial }));
            }
        }
        for (at, call) in world.calls.iter().enumerate() {
            match call.step {
                Step::Begun => actions.push(Action::Authorize(at)),
                Step::LetIn => actions.push(Action::Go(at)),
                Step::Proposed(_) => actions.push(Action::Commit(at)),
                Step::Committed(entry, index) => {
                    if world.applied[usize::from(call.replica)] > index {
                        actions.push(Action::Hear(at));
                    }
                    if world.repeats < REPEATS_MAX && matches!(entry, Entry::Attest { .. } | Entry::Renew { .. }) {
                        actions.push(Action::CommitAgain(at));
                    }
                }
                Step::Over(_) => {}
            }
        }
        match world.ban {
            Ban::Wanted => actions.push(Action::CommitBan),
            Ban::Committed(index)
                if REPLICAS.into_iter().any(|replica| world.applied[usize::from(replica)] > index) =>
            {
                actions.push(Action::AcknowledgeBan);
            }
            Ban::Committed(_) | Ban::Acknowledged => {}
        }
        let lagging = REPLICAS.into_iter().filter(|replica| world.applied[usize::from(*replica)] < world.log.len());
        // What was cut off hears nothing.
        actions.extend(lagging.filter(|replica| world.cut_off != Some(*replica)).map(Action::Apply));
        if world.elections < ELECTIONS_MAX {
            actions.push(Action::Depose);
        }
        if world.cut_off.is_some() {
            actions.push(Action::Heal);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Begin { kind, replica, serial } => {
                let late = world.ban == Ban::Acknowledged;
                let at = world.calls.len();
                let attest = Entry::Attest { request: request(at), serial: new_serial(at) };
                let step = if kind == Kind::Attest { Step::Proposed(attest) } else { Step::Begun };
                world.calls.push(Call { kind, replica, serial, late, step });
            }
            Action::Authorize(at) => self.authorize(&mut world, at),
            Action::Go(at) => self.go(&mut world, at),
            Action::Commit(at) => {
                let Step::Proposed(entry) = world.calls[at].step else { return None };
                if !world.leader_may_write() {
                    return None;
                }
                if self.fault == Some(Fault::PromotionRewrites) && matches!(entry, Entry::Promote { .. }) {
                    world.write(Entry::Evict);
                    world.write(Entry::Attest { request: u8::MAX, serial: world.calls[at].serial });
                } else {
                    world.write(entry);
                }
                world.calls[at].step = Step::Committed(entry, world.log.len() - 1);
            }
            Action::CommitAgain(at) => {
                let Step::Committed(entry, _) = world.calls[at].step else { return None };
                if !world.leader_may_write() {
                    return None;
                }
                world.write(entry);
                world.repeats += 1;
                world.calls[at].step = Step::Committed(entry, world.log.len() - 1);
            }
            Action::Hear(at) => self.hear(&mut world, at)?,
            Action::CommitBan => {
                if !world.leader_may_write() {
                    return None;
                }
                world.write(Entry::Ban);
                world.ban = Ban::Committed(world.log.len() - 1);
            }
            Action::AcknowledgeBan => world.ban = Ban::Acknowledged,
            Action::Apply(replica) => world.applied[usize::from(replica)] += 1,
            Action::Depose => {
                world.cut_off = Some(world.leader);
                world.leader = 1 - world.leader;
                world.elections += 1;
            }
            Action::Heal => world.cut_off = None,
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl Bans {
    /// As the authorizer in front of every service.
    fn authorize(&self, world: &mut World, at: usize) {
        let Call { replica, serial, .. } = world.calls[at];
        let mut decision = self.decide(world, world.applied[usize::from(replica)], serial);
        if matches!(decision, AgentDecision::Deny(_)) && self.fault != Some(Fault::DenialUnconfirmed) {
            if !world.confirm(replica) {
                world.calls[at].step = Step::Over(Answer::Unavailable);
                return;
            }
            decision = self.decide(world, world.applied[usize::from(replica)], serial);
        }
        world.calls[at].step = match decision {
            AgentDecision::Allow => Step::LetIn,
            AgentDecision::Promote => Step::Proposed(Entry::Promote { serial }),
            AgentDecision::Deny(_) => {
                let truth = self.decide(world, world.log.len(), serial);
                world.wrongly_denied |= !matches!(truth, AgentDecision::Deny(_));
                Step::Over(Answer::Denied)
            }
        };
    }

    /// What the service does for a call that was let in.
    fn go(&self, world: &mut World, at: usize) {
        let call = world.calls[at];
        world.calls[at].step = match call.kind {
            Kind::Attest => return,
            Kind::Svid => self.sign(world, &call),
            Kind::Renew => match world.confirm(call.replica) {
                false => Step::Over(Answer::Unavailable),
                true => {
                    let record = self.record(world, world.log.len());
                    let replaces = record.as_ref().and_then(|record| record.new_serial.parse().ok()).unwrap_or(0);
                    let serial = new_serial(at);
                    match self.fault {
                        Some(Fault::RenewedBeforeCommit) => Step::Over(Answer::Renewed(serial)),
                        _ => Step::Proposed(Entry::Renew { request: request(at), serial, replaces }),
                    }
                }
            },
        };
    }

    /// At whoever leads in the eyes of the replica that was called.
    fn sign(&self, world: &World, call: &Call) -> Step {
        let signer = if world.cut_off == Some(call.replica) { call.replica } else { world.leader };
        let applied = world.applied[usize::from(signer)];
        let leads = world.leader == signer || self.fault == Some(Fault::NoFence);
        let caught_up =
            applied == world.log.len() || signer != world.leader || self.fault == Some(Fault::SignsWhileCatchingUp);
        if !leads || !caught_up {
            return Step::Over(Answer::Unavailable);
        }
        let believes = self.fault == Some(Fault::SignerAsksNobody);
        match self.decide(world, applied, call.serial) {
            AgentDecision::Deny(_) if !believes => Step::Over(Answer::Denied),
            _ => Step::Over(Answer::Signed),
        }
    }

    /// The replica has applied the entry, and goes on with the call.
    fn hear(&self, world: &mut World, at: usize) -> Option<()> {
        let Step::Committed(entry, index) = world.calls[at].step else { return None };
        let is_refused = matches!(*self.machine.outcome(&world.log[..=index]), Outcome::Rejected(_));
        world.calls[at].step = match entry {
            _ if is_refused => Step::Over(Answer::Denied),
            Entry::Promote { .. } => Step::LetIn,
            Entry::Attest { serial, .. } | Entry::Renew { serial, .. } => Step::Over(Answer::Renewed(serial)),
            Entry::Ban | Entry::Evict => return None,
        };
        Some(())
    }

    fn decide(&self, world: &World, applied: usize, serial: u8) -> AgentDecision {
        let record = self.record(world, applied);
        decide(record.as_deref(), &serial.to_string(), LATER, entry::NOW)
    }

    fn record(&self, world: &World, applied: usize) -> Option<std::sync::Arc<steeple_core::AttestedAgent>> {
        self.machine.after(&world.log[..applied]).agent(&entry::agent_id()).cloned()
    }
}

/// Of the SVID that the call at this place asks for.
fn new_serial(call: usize) -> u8 {
    entry::FIRST_SERIAL + request(call)
}

fn request(call: usize) -> u8 {
    1 + u8::try_from(call).unwrap_or(u8::MAX - 1)
}

const REPLICAS: [u8; 2] = [0, 1];
const CALLS_MAX: usize = 2;
const ELECTIONS_MAX: u8 = 1;
/// Proposals that are written a second time.
const REPEATS_MAX: u8 = 1;
/// When the certificates end; they do not in this model.
const LATER: Timestamp = Timestamp::from_secs(10_000);
