//! What has to hold, and what has to happen for that to mean something.

use stateright::Property;
use steeple_state::Outcome;

use super::call::{Answer, Call, Kind, Step};
use super::world::{Ban, World};
use super::{Bans, Entry};

pub const NOTHING_GIVEN: &str = "a call that begins after the ban was acknowledged gives nothing";
pub const STAYS_BANNED: &str = "a banned agent stays banned";
pub const DENIED_IN_TRUTH: &str = "who is denied may not at that moment";

type Promise = Property<Bans>;

pub fn all() -> Vec<Promise> {
    vec![
        Promise::always(NOTHING_GIVEN, |_, world: &World| {
            !world.calls.iter().any(|call| call.late && call.gave_something())
        }),
        Promise::always(STAYS_BANNED, |model, world| {
            let was_banned = world.log.contains(&Entry::Ban);
            model.record(world, world.log.len()).is_some_and(|record| record.is_banned() == was_banned)
        }),
        Promise::always(DENIED_IN_TRUTH, |_, world| !world.wrongly_denied),
        Promise::sometimes("a renewed serial is promoted by its first use", |model, world| {
            model.is_refused(world, |entry| matches!(entry, Entry::Promote { .. })) == Some(false)
        }),
        Promise::sometimes("a promotion comes after the ban and is refused", |model, world| {
            model.is_refused(world, |entry| matches!(entry, Entry::Promote { .. })) == Some(true)
        }),
        Promise::sometimes("a renewal comes after the ban and is refused", |model, world| {
            model.is_refused(world, |entry| matches!(entry, Entry::Renew { .. })) == Some(true)
        }),
        Promise::sometimes("a banned agent attests anew and is refused", |model, world| {
            model.is_refused(world, |entry| matches!(entry, Entry::Attest { .. })) == Some(true)
        }),
        Promise::sometimes("a renewal that was repeated behind the ban hears its first outcome", |_, world| {
            let renewed = |call: &Call| matches!(call.step, Step::Over(Answer::Renewed(_)));
            let ban = world.log.iter().position(|entry| *entry == Entry::Ban);
            let after = |entry: &Entry| matches!(entry, Entry::Renew { .. });
            ban.is_some_and(|ban| world.log[ban..].iter().any(after)) && world.calls.iter().any(renewed)
        }),
        Promise::sometimes("a replica that lags lets a banned agent in, and the signer refuses", |_, world| {
            let refused = |call: &Call| call.late && call.kind == Kind::Svid && call.step == Step::Over(Answer::Denied);
            world.calls.iter().any(|call| refused(call) && world.applied[usize::from(call.replica)] < world.log.len())
        }),
        Promise::sometimes("a deposed leader is asked for an SVID after the ban", |_, world| {
            let asked = |call: &Call| call.late && call.kind == Kind::Svid && world.cut_off == Some(call.replica);
            world.calls.iter().any(|call| asked(call) && call.step == Step::Over(Answer::Unavailable))
        }),
        Promise::sometimes("an SVID is signed while the ban is on its way", |_, world| {
            let signed = world.calls.iter().any(|call| call.step == Step::Over(Answer::Signed));
            signed && matches!(world.ban, Ban::Committed(_))
        }),
    ]
}

impl Bans {
    /// What the last entry of that kind came to, if it is the last of the log.
    fn is_refused(&self, world: &World, kind: impl Fn(&Entry) -> bool) -> Option<bool> {
        world.log.last().filter(|entry| kind(entry))?;
        Some(matches!(*self.machine.outcome(&world.log), Outcome::Rejected(_)))
    }
}
