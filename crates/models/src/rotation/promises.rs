//! What has to hold, and what has to happen for that to mean something.

use stateright::Property;
use steeple_ca::lifecycle::{self, AckState, Step};
use steeple_core::{Authority, AuthorityKind, AuthorityStatus};

use super::world::World;
use super::{AGENTS, Entry, Fault, REPLICAS, Rotation, entry};

pub const TRUSTED: &str = "an authority signs when all who were alive trust it, or when the wait is over";
pub const EVERY_REPLICA: &str = "an authority signs when every replica that answers has it, or when the wait is over";
pub const ONE_SIGNS: &str = "all who may sign do so with the one active authority";
pub const ONE_ACTIVE: &str = "there is one active authority, and the one before it has no key";
pub const WAIT_ENDS: &str = "when the wait is over the leader acts";

type Promise = Property<Rotation>;

pub fn all() -> Vec<Promise> {
    vec![
        // From the moment when it is active, its SVIDs can be shown to anybody.
        Promise::always(TRUSTED, |_, world: &World| {
            let Some(activated) = world.activated.as_ref().filter(|activated| !activated.by_time) else { return true };
            let trusts = |agent: u8| world.agents[usize::from(agent)].holds >= entry::sequence_of(activated.number);
            AGENTS.into_iter().all(|agent| activated.silent[usize::from(agent)] || trusts(agent))
        }),
        Promise::always(EVERY_REPLICA, |_, world| {
            world.activated.as_ref().is_none_or(|activated| activated.by_time || !activated.replica_lacks)
        }),
        Promise::always(ONE_SIGNS, |model, world| {
            let active = model.active(world, world.log.len());
            let mut signers = REPLICAS.into_iter().filter(|replica| model.may_sign(world, *replica));
            signers.all(|replica| model.active(world, world.replica(replica).applied) == active)
        }),
        Promise::always(ONE_ACTIVE, |model, world| {
            let state = model.machine.after(&world.log);
            let set = state.authorities(AuthorityKind::X509);
            let Some(active) = set.active.as_ref().filter(|active| active.status == AuthorityStatus::Active) else {
                return false;
            };
            let is_fit = |next: &Authority| match next.status {
                AuthorityStatus::Prepared => true,
                AuthorityStatus::Old => next.key.ciphertext.is_empty(),
                AuthorityStatus::Active => false,
            };
            set.next.as_ref().is_none_or(|next| next.id != active.id && is_fit(next))
        }),
        Promise::always(WAIT_ENDS, |model, world| {
            let waits = world.leader_may_act() && !world.decides() && model.wait_is_over(world);
            !waits || model.plan(world).step.is_some()
        }),
        Promise::sometimes("everybody acknowledged in time", |_, world| {
            world.activated.as_ref().is_some_and(|activated| !activated.by_time && activated.silent == [false, false])
        }),
        Promise::sometimes("the wait is over before an agent that is alive has the bundle", |_, world| {
            let Some(activated) = world.activated.as_ref().filter(|activated| activated.by_time) else { return false };
            let wanted = entry::sequence_of(activated.number);
            let lacks = |agent: u8| world.agents[usize::from(agent)].holds < wanted;
            AGENTS.into_iter().any(|agent| lacks(agent) && !activated.silent[usize::from(agent)])
        }),
        Promise::sometimes("the leader waits for an agent", |model, world| {
            model.waits(world) && !model.gather(world).missing_agents.is_empty()
        }),
        Promise::sometimes("the leader waits for a replica that does not answer", |model, world| {
            model.waits(world) && REPLICAS.into_iter().any(|replica| !world.replica(replica).answers())
        }),
        Promise::sometimes("the leader waits for a replica that has forgotten its agents", |model, world| {
            let is_new = |replica: u8| world.replica(replica).answers() && world.replica(replica).since.is_some();
            model.waits(world) && REPLICAS.into_iter().any(is_new)
        }),
        Promise::sometimes("an agent that one replica misses has acknowledged at another", |model, world| {
            model.gather_once_misses(world) && model.gather(world).state() == AckState::All
        }),
        Promise::sometimes("a silent agent is not waited for", |_, world| {
            world.activated.as_ref().is_some_and(|activated| !activated.by_time && activated.silent == [true, false])
        }),
        Promise::sometimes("a new leader goes on with a rotation", |_, world| {
            world.leader != 0 && world.activated.as_ref().is_some_and(|activated| !activated.by_time)
        }),
        Promise::sometimes("a leader decides after the one before it died", |_, world| {
            world.leader != 0 && world.decides() && !world.replica(0).up
        }),
        Promise::sometimes("an authority is replaced before its turn", |_, world| {
            world.activated.as_ref().is_some_and(|activated| activated.number > entry::FIRST + 1)
        }),
        Promise::sometimes("a decision comes too late for its authority", |_, world| {
            let activated = |entry: &Entry| matches!(entry, Entry::Activate { .. });
            world.log.iter().any(activated) && world.activated.is_none()
        }),
    ]
}

impl Rotation {
    /// The number of the authority that is active in a prefix of the log.
    fn active(&self, world: &World, applied: usize) -> Option<u8> {
        let state = self.machine.after(&world.log[..applied]);
        Some(entry::number(&state.active_authority(AuthorityKind::X509)?.id))
    }

    /// The leader's fence: a quorum has answered it lately, and it has applied what was acknowledged.
    fn may_sign(&self, world: &World, replica: u8) -> bool {
        let leads = world.leader == replica && world.leader_may_act();
        leads || self.fault == Some(Fault::NoFence) && world.replica(replica).up && world.replica(replica).cut_off
    }

    /// For acknowledgements of the authority that is prepared.
    fn wait_is_over(&self, world: &World) -> bool {
        let state = self.machine.after(&world.log);
        let activation = lifecycle::activation(&self.policy, state.authorities(AuthorityKind::X509));
        activation.is_some_and(|activation| world.now.time() > activation.until)
    }

    fn waits(&self, world: &World) -> bool {
        world.leader_may_act() && !world.decides() && self.plan(world).wait.is_some()
    }

    fn gather_once_misses(&self, world: &World) -> bool {
        let may_step = world.leader_may_act() && !world.log.is_empty() && world.activated.is_none();
        let step = may_step.then(|| self.plan(world).step).flatten();
        matches!(step, Some(Step::Activate(_))) && !self.gather_once(world).missing_agents.is_empty()
    }
}
