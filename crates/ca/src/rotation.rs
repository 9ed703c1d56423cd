//! A rotation by hand, as a pure decision over where it stands: prepare, wait, activate, renew the servers' own SVIDs,
//! and where the old authority is compromised taint it, wait, revoke it.
//!
//! ```text
//!   the authority that has to go is active:   Prepare ─▶ AwaitBundle ─▶ Activate
//!   it is old:                                AwaitServers ─▶ Taint ─▶ AwaitTaint ─▶ Revoke ─▶ Done
//! ```
//!
//! Whoever carries it out remembers nothing but the authority that has to go, and [`target`] finds that again: a
//! rotation that was interrupted goes on where it stood.

use std::time::Duration;

use steeple_core::{AuthorityId, Timestamp};

/// An authority that was activated this soon after it was made, was activated by hand: by itself that takes a third of
/// its life.
pub const YOUNG_LIFETIME_DIVISOR: u32 = 12;
pub const YOUNG_MAX: Duration = Duration::from_secs(3600);

/// Where the authorities of one kind stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub active: Option<Slot>,
    pub prepared: Option<Slot>,
    pub old: Option<Slot>,
    pub servers: Servers,
    /// Everybody who has to hold the bundle as it is now holds it, or too long a wait is over.
    pub bundle_arrived: bool,
}

/// What the replicas show to agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Servers {
    /// An SVID of the active authority, all of them. So it is for keys, which sign none.
    #[default]
    Renewed,
    /// Those that answer do.
    SomeSilent,
    /// Some show one of another authority.
    Behind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub id: AuthorityId,
    pub issued_at: Timestamp,
    pub not_after: Timestamp,
    /// In the bundle.
    pub published: bool,
    pub tainted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Prepare,
    /// Until everybody knows the authority that is about to sign.
    AwaitBundle,
    Activate(AuthorityId),
    /// Until no server shows an SVID of the old authority.
    AwaitServers,
    Taint(AuthorityId),
    /// Until everybody knows of the taint and has replaced what the authority signed.
    AwaitTaint,
    Revoke(AuthorityId),
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    #[error("there is no active authority: the server is initializing; try again in a moment")]
    NoAuthority,
    #[error("{0} is neither the active authority nor the old one beside it; see `ca status`")]
    Unknown(AuthorityId),
}

/// The authority that has to go: the named one, or the one that an interrupted rotation left behind, or the active one.
pub fn target(
    standing: &Standing,
    named: Option<&str>,
    compromised: bool,
    now: Timestamp,
) -> Result<AuthorityId, RotationError> {
    let active = standing.active.as_ref().ok_or(RotationError::NoAuthority)?;
    if let Some(named) = named {
        let known = [Some(active), standing.old.as_ref()].into_iter().flatten().any(|slot| slot.id == named);
        return if known { Ok(named.to_owned()) } else { Err(RotationError::Unknown(named.to_owned())) };
    }
    let unfinished = |old: &&Slot| {
        let replaced_by_hand = now < active.issued_at.saturating_add(young(active));
        old.published && (old.tainted || compromised && replaced_by_hand || standing.servers == Servers::Behind)
    };
    let old = standing.old.as_ref().filter(unfinished);
    Ok(old.unwrap_or(active).id.clone())
}

/// What is to be done next so that `target` goes.
pub fn next(standing: &Standing, target: &str, compromised: bool) -> Step {
    if standing.active.as_ref().is_some_and(|active| active.id == target) {
        return match &standing.prepared {
            None => Step::Prepare,
            Some(_) if !standing.bundle_arrived => Step::AwaitBundle,
            Some(prepared) => Step::Activate(prepared.id.clone()),
        };
    }
    let Some(old) = standing.old.as_ref().filter(|old| old.id == target) else { return Step::Done };
    if standing.servers != Servers::Renewed {
        return Step::AwaitServers;
    }
    if !old.published || !(compromised || old.tainted) {
        return Step::Done;
    }
    match (old.tainted, standing.bundle_arrived) {
        (false, _) => Step::Taint(old.id.clone()),
        (true, false) => Step::AwaitTaint,
        (true, true) => Step::Revoke(old.id.clone()),
    }
}

impl Step {
    /// How many of all steps lie before this one.
    pub fn position(&self) -> usize {
        match self {
            Self::Prepare => 0,
            Self::AwaitBundle => 1,
            Self::Activate(_) => 2,
            Self::AwaitServers => 3,
            Self::Taint(_) => 4,
            Self::AwaitTaint => 5,
            Self::Revoke(_) => 6,
            Self::Done => 7,
        }
    }

    /// Steps in a rotation; without the last three nothing is tainted.
    pub fn count(compromised: bool) -> usize {
        if compromised { 7 } else { 4 }
    }
}

fn young(authority: &Slot) -> Duration {
    (authority.not_after.since(authority.issued_at) / YOUNG_LIFETIME_DIVISOR).min(YOUNG_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const LIFE: Duration = Duration::from_secs(24 * 3600);

    /// An authority of that age.
    fn slot(id: &str, age: Duration) -> Slot {
        let issued_at = NOW.saturating_sub(age);
        Slot {
            id: id.to_owned(),
            issued_at,
            not_after: issued_at.saturating_add(LIFE),
            published: true,
            tainted: false,
        }
    }

    /// A cluster at rest between two rotations of its own.
    fn at_rest() -> Standing {
        Standing {
            active: Some(slot("a", LIFE / 2)),
            old: Some(slot("z", LIFE)),
            bundle_arrived: true,
            ..Standing::default()
        }
    }

    fn carry_out(standing: &mut Standing, step: &Step) {
        match step {
            Step::Prepare => {
                standing.prepared = Some(slot("b", Duration::ZERO));
                standing.old = None;
                standing.bundle_arrived = false;
            }
            Step::AwaitBundle | Step::AwaitTaint => standing.bundle_arrived = true,
            Step::Activate(_) => {
                standing.old = standing.active.take();
                standing.active = standing.prepared.take();
                standing.servers = Servers::Behind;
            }
            Step::AwaitServers => standing.servers = Servers::Renewed,
            Step::Taint(_) => {
                standing.old.as_mut().unwrap().tainted = true;
                standing.bundle_arrived = false;
            }
            Step::Revoke(_) => {
                standing.old.as_mut().unwrap().published = false;
                standing.bundle_arrived = false;
            }
            Step::Done => {}
        }
    }

    /// Carries out a rotation; the one who does so is killed before each step named in `kills` and starts again.
    fn rotate(compromised: bool, kills: &[usize]) -> Vec<Step> {
        let mut standing = at_rest();
        let mut going = target(&standing, None, compromised, NOW).unwrap();
        let mut steps = Vec::new();
        loop {
            if kills.contains(&steps.len()) {
                going = target(&standing, None, compromised, NOW).unwrap();
            }
            let step = next(&standing, &going, compromised);
            carry_out(&mut standing, &step);
            steps.push(step.clone());
            if step == Step::Done {
                return steps;
            }
        }
    }

    #[test]
    fn a_rotation_from_beginning_to_end() {
        let steps = [Step::Prepare, Step::AwaitBundle, Step::Activate("b".into()), Step::AwaitServers];
        assert_eq!(rotate(false, &[]), [&steps[..], &[Step::Done]].concat());
        let rest = [Step::Taint("a".into()), Step::AwaitTaint, Step::Revoke("a".into()), Step::Done];
        assert_eq!(rotate(true, &[]), [&steps[..], &rest[..]].concat());
    }

    #[test]
    fn whoever_starts_it_again_goes_on_where_it_stood() {
        for compromised in [false, true] {
            let whole = rotate(compromised, &[]);
            for kill in 0..Step::count(compromised) {
                assert_eq!(rotate(compromised, &[kill]), whole, "killed before step {kill}");
            }
            let always: Vec<usize> = (0..Step::count(compromised)).collect();
            assert_eq!(rotate(compromised, &always), whole);
        }
    }

    #[test]
    fn positions_follow_the_order_of_the_steps() {
        let positions: Vec<usize> = rotate(true, &[]).iter().map(Step::position).collect();
        assert_eq!(positions, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_named_authority_must_be_there() {
        let standing = at_rest();
        assert_eq!(target(&standing, Some("z"), true, NOW).unwrap(), "z");
        assert_eq!(target(&standing, Some("x"), true, NOW), Err(RotationError::Unknown("x".into())));
        assert_eq!(target(&Standing::default(), None, true, NOW), Err(RotationError::NoAuthority));
        assert_eq!(next(&standing, "z", true), Step::Taint("z".into()));
    }

    #[test]
    fn a_replica_that_is_away_does_not_make_it_look_like_a_rotation_in_the_middle() {
        let standing = Standing { servers: Servers::SomeSilent, ..at_rest() };
        for compromised in [false, true] {
            assert_eq!(target(&standing, None, compromised, NOW).unwrap(), "a");
        }
        assert_eq!(next(&standing, "z", false), Step::AwaitServers, "and it is waited for");
    }

    #[test]
    fn an_old_authority_of_an_ordinary_rotation_is_left_alone() {
        assert_eq!(target(&at_rest(), None, true, NOW).unwrap(), "a");
    }
}
