//! What has to hold, and what has to happen for that to mean something.

use stateright::Property;

use super::world::{Answer, Call, Client, Step, World};
use super::{Entry, JoinToken, call_of, entry};

pub const ONE_MACHINE: &str = "a token lets in one machine";
pub const ON_RECORD: &str = "who was let in is on record with the serial of its SVID";
pub const OWN_ATTESTATION: &str = "no call is refused because of what it did itself";
pub const NEVER_LOST: &str = "the token is gone when its agent is there, and not before";

type Promise = Property<JoinToken>;

pub fn all() -> Vec<Promise> {
    vec![
        Promise::always(ONE_MACHINE, |_, world: &World| {
            let let_in = |client| world.of(client).any(|call| call.serial().is_some());
            !(let_in(Client::Machine(0)) && let_in(Client::Machine(1)))
        }),
        Promise::always(ON_RECORD, |model, world| {
            let mut held = world.calls().filter_map(|(_, call)| call.serial());
            held.all(|serial| model.recorded(world) == Some(serial))
        }),
        Promise::always(OWN_ATTESTATION, |model, world| {
            let own = model.recorded(world).map(call_of);
            own.is_none_or(|at| world.call(at).step != Step::Over(Answer::Refused))
        }),
        Promise::always(NEVER_LOST, |model, world| {
            let state = model.machine.after(&world.log);
            let created = world.log.iter().any(|entry| matches!(entry, Entry::Create { .. }));
            let tokens = usize::from(state.join_token(entry::TOKEN).is_some());
            tokens + state.count_agents(&Default::default()) == usize::from(created)
        }),
        Promise::sometimes("a repeated proposal hears the first outcome", |_, world| {
            world.let_in().any(|at| world.written(at) > 1)
        }),
        Promise::sometimes("a proposal is lost with its leader and made again", |_, world| {
            world.let_in().any(|at| world.call(at).tries > 1 && world.written(at) == 1)
        }),
        Promise::sometimes("a token that was asked for twice is made once and used", |_, world| {
            let created = world.log.iter().filter(|entry| matches!(entry, Entry::Create { .. })).count();
            created > 1 && world.let_in().next().is_some()
        }),
        Promise::sometimes("the second machine is refused", |_, world| {
            let refused = |call: &Call| call.step == Step::Over(Answer::Refused);
            world.let_in().any(|at| world.call(at).client == Client::Machine(0))
                && world.of(Client::Machine(1)).any(refused)
        }),
        Promise::sometimes("a machine calls elsewhere and is let in", |_, world| {
            world.let_in().any(|at| world.of(world.call(at).client).count() > 1)
        }),
        // As with SPIRE: nobody knows of the call that comes after it that it is the same machine's.
        Promise::sometimes("an answer that is lost has used up the token", |model, world| {
            let own = model.recorded(world).map(call_of).filter(|at| world.call(*at).client == Client::Machine(0));
            let ended = |call: &Call| matches!(call.step, Step::Over(Answer::Refused | Answer::Silence));
            own.is_some() && world.of(Client::Machine(0)).count() == 2 && world.of(Client::Machine(0)).all(ended)
        }),
    ]
}

impl World {
    /// Calls whose clients were given an SVID.
    fn let_in(&self) -> impl Iterator<Item = usize> {
        self.calls().filter(|(_, call)| call.serial().is_some()).map(|(at, _)| at)
    }

    /// How often a call's attestation is in the log.
    fn written(&self, at: usize) -> usize {
        let own = |entry: &&Entry| matches!(entry, Entry::Attest { serial, .. } if call_of(*serial) == at);
        self.log.iter().filter(own).count()
    }
}

impl Call {
    fn serial(&self) -> Option<u8> {
        match self.step {
            Step::Over(Answer::LetIn { serial }) => Some(serial),
            _ => None,
        }
    }
}

impl JoinToken {
    /// The serial on record.
    fn recorded(&self, world: &World) -> Option<u8> {
        self.machine.after(&world.log).agent(&entry::agent_id())?.serial.parse().ok()
    }
}
