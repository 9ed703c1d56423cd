//! A rotation by hand, as a pure decision over where it stands: prepare, wait, activate, renew the servers' own SVIDs,
//! and where the old authority is compromised taint it, wait, revoke it.
//!
//! ```text
//!   the authority that has to go is active:   Prepare ─▶ AwaitBundle ─▶ Activate
//!   it is old:                                AwaitServers ─▶ Taint ─▶ AwaitTaint ─▶ Revoke ─▶ Done
//! ```
//!
//! Whoever carries it out remembers nothing but the authority that has to go. Named again, a rotation that was
//! interrupted goes on where it stood. Where nobody names it, [`target`] finds it only if there is no doubt: to taint
//! the wrong one leaves the compromised one trusted, and its successor's preparation puts it out of reach.

use steeple_core::{AuthorityId, Timestamp};

/// Where the authorities of one kind stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub active: Option<Slot>,
    pub prepared: Option<Slot>,
    pub old: Option<Slot>,
    /// In the bundle and not expired, and in no slot any more: nothing taints them.
    pub out_of_reach: Vec<Slot>,
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
    #[error("it is not known which authority is compromised: name it with -authorityID")]
    Ambiguous,
    #[error(
        "{0} is in no slot any more and was not revoked: no command reaches it, and as long as `bundle show` has it, \
         it is trusted until it expires (a tainted JWT key goes with `localauthority jwt revoke`)"
    )]
    Lost(AuthorityId),
    #[error("there is no active authority: the server is initializing; try again in a moment")]
    NoAuthority,
    #[error(
        "{0} is neither the active authority nor the old one beside it; see `ca status`: no command reaches others, \
         and those that `bundle show` has are trusted until they expire"
    )]
    Unknown(AuthorityId),
}

/// The authority that has to go: the named one, or the one that an interrupted rotation certainly left behind, or the
/// active one. How old they are tells nothing: a successor may be prepared hours before anybody needs it.
pub fn target(standing: &Standing, named: Option<&str>, compromised: bool) -> Result<AuthorityId, RotationError> {
    let active = standing.active.as_ref().ok_or(RotationError::NoAuthority)?;
    if let Some(named) = named {
        let known = [Some(active), standing.old.as_ref()].into_iter().flatten().any(|slot| slot.id == named);
        return if known { Ok(named.to_owned()) } else { Err(RotationError::Unknown(named.to_owned())) };
    }
    match standing.old.as_ref().filter(|old| old.published) {
        // Only a rotation by hand taints.
        Some(old) if old.tainted => Ok(old.id.clone()),
        // It was rotated out, by schedule or by a command that was interrupted before it could taint.
        Some(_) if compromised => Err(RotationError::Ambiguous),
        _ if compromised && !standing.out_of_reach.is_empty() => Err(RotationError::Ambiguous),
        Some(old) if standing.servers == Servers::Behind => Ok(old.id.clone()),
        _ => Ok(active.id.clone()),
    }
}

/// What is to be done next so that `target` goes.
pub fn next(standing: &Standing, target: &str, compromised: bool) -> Result<Step, RotationError> {
    if standing.active.as_ref().is_some_and(|active| active.id == target) {
        return Ok(match &standing.prepared {
            None => Step::Prepare,
            Some(_) if !standing.bundle_arrived => Step::AwaitBundle,
            Some(prepared) => Step::Activate(prepared.id.clone()),
        });
    }
    let Some(old) = standing.old.as_ref().filter(|old| old.id == target) else {
        // The next one was prepared by schedule, in its slot.
        return if compromised { Err(RotationError::Lost(target.to_owned())) } else { Ok(Step::Done) };
    };
    if standing.servers != Servers::Renewed {
        return Ok(Step::AwaitServers);
    }
    if !old.published || !(compromised || old.tainted) {
        return Ok(Step::Done);
    }
    Ok(match (old.tainted, standing.bundle_arrived) {
        (false, _) => Step::Taint(old.id.clone()),
        (true, false) => Step::AwaitTaint,
        (true, true) => Step::Revoke(old.id.clone()),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(id: &str) -> Slot {
        Slot { id: id.to_owned(), not_after: Timestamp::from_secs(1_800_000_000), published: true, tainted: false }
    }

    /// A cluster before the first rotation of its own, or long after one.
    fn at_rest() -> Standing {
        Standing { active: Some(slot("a")), bundle_arrived: true, ..Standing::default() }
    }

    /// The active authority took over from `z`, by schedule or by hand.
    fn rotated() -> Standing {
        Standing { old: Some(slot("z")), ..at_rest() }
    }

    fn carry_out(standing: &mut Standing, step: &Step) {
        match step {
            Step::Prepare => {
                standing.prepared = Some(slot("b"));
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
    fn rotate(named: Option<&str>, compromised: bool, kills: &[usize]) -> Result<Vec<Step>, RotationError> {
        let mut standing = at_rest();
        let mut going = target(&standing, named, compromised)?;
        let mut steps = Vec::new();
        loop {
            if kills.contains(&steps.len()) {
                going = target(&standing, named, compromised)?;
            }
            let step = next(&standing, &going, compromised)?;
            carry_out(&mut standing, &step);
            steps.push(step.clone());
            if step == Step::Done {
                return Ok(steps);
            }
        }
    }

    #[test]
    fn a_rotation_from_beginning_to_end() {
        let steps = [Step::Prepare, Step::AwaitBundle, Step::Activate("b".into()), Step::AwaitServers];
        assert_eq!(rotate(None, false, &[]).unwrap(), [&steps[..], &[Step::Done]].concat());
        let rest = [Step::Taint("a".into()), Step::AwaitTaint, Step::Revoke("a".into()), Step::Done];
        assert_eq!(rotate(None, true, &[]).unwrap(), [&steps[..], &rest[..]].concat());
    }

    #[test]
    fn whoever_names_it_again_goes_on_where_it_stood() {
        for compromised in [false, true] {
            let whole = rotate(None, compromised, &[]);
            let always: Vec<usize> = (0..Step::count(compromised)).collect();
            for kill in &always {
                assert_eq!(rotate(Some("a"), compromised, &[*kill]), whole, "killed before step {kill}");
            }
            assert_eq!(rotate(Some("a"), compromised, &always), whole);
        }
    }

    #[test]
    fn whoever_does_not_name_it_goes_on_or_is_asked_and_never_taints_another() {
        let whole = rotate(None, true, &[]);
        for kill in 0..Step::count(true) {
            let undecided = (Step::AwaitServers.position()..=Step::Taint(String::new()).position()).contains(&kill);
            let expected = if undecided { Err(RotationError::Ambiguous) } else { whole.clone() };
            assert_eq!(rotate(None, true, &[kill]), expected, "killed before step {kill}");
        }
        assert_eq!(rotate(None, false, &[0, 1, 2, 3]), rotate(None, false, &[]), "harmless where nothing is tainted");
    }

    #[test]
    fn an_old_authority_that_is_trusted_is_a_question_at_any_age() {
        for age in [1, 7_200, 43_200, 90_000] {
            let mut standing = rotated();
            // Of an age that says nothing, also expired: a JWT key is taken until it leaves the bundle.
            standing.old.as_mut().unwrap().not_after = Timestamp::from_secs(1_800_000_000 - age);
            for servers in [Servers::Renewed, Servers::SomeSilent, Servers::Behind] {
                standing.servers = servers;
                assert_eq!(target(&standing, None, true), Err(RotationError::Ambiguous));
                for named in ["a", "z"] {
                    assert_eq!(target(&standing, Some(named), true).unwrap(), named);
                }
            }
        }
    }

    #[test]
    fn an_old_authority_that_is_tainted_or_revoked_is_none() {
        let mut standing = rotated();
        standing.old.as_mut().unwrap().tainted = true;
        for compromised in [false, true] {
            assert_eq!(target(&standing, None, compromised).unwrap(), "z");
        }
        standing.old.as_mut().unwrap().published = false;
        for compromised in [false, true] {
            assert_eq!(target(&standing, None, compromised).unwrap(), "a");
        }
    }

    /// The one that has to go was replaced in its slot while nobody was there.
    #[test]
    fn one_that_nothing_reaches_any_more_is_told_and_not_mistaken() {
        let standing = Standing { prepared: Some(slot("b")), out_of_reach: vec![slot("z")], ..at_rest() };
        assert_eq!(target(&standing, None, true), Err(RotationError::Ambiguous));
        assert_eq!(target(&standing, None, false).unwrap(), "a");
        assert_eq!(target(&standing, Some("a"), true).unwrap(), "a");
        assert_eq!(target(&standing, Some("z"), true), Err(RotationError::Unknown("z".into())));
        assert_eq!(next(&standing, "z", true), Err(RotationError::Lost("z".into())), "it is not done");
        assert_eq!(next(&standing, "z", false), Ok(Step::Done));
    }

    #[test]
    fn positions_follow_the_order_of_the_steps() {
        let positions: Vec<usize> = rotate(None, true, &[]).unwrap().iter().map(Step::position).collect();
        assert_eq!(positions, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_named_authority_must_be_there() {
        let standing = rotated();
        assert_eq!(target(&standing, Some("z"), true).unwrap(), "z");
        assert_eq!(target(&standing, Some("x"), true), Err(RotationError::Unknown("x".into())));
        assert_eq!(target(&Standing::default(), None, true), Err(RotationError::NoAuthority));
        assert_eq!(next(&standing, "z", true), Ok(Step::Taint("z".into())));
    }

    #[test]
    fn a_replica_that_is_away_does_not_make_it_look_like_a_rotation_in_the_middle() {
        let standing = Standing { servers: Servers::SomeSilent, ..rotated() };
        assert_eq!(target(&standing, None, false).unwrap(), "a");
        assert_eq!(next(&standing, "z", false), Ok(Step::AwaitServers), "and it is waited for");
    }
}
