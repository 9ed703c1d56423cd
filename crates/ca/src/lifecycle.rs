//! When an authority is prepared, activated and forgotten: one pure decision at a time.
//!
//! ```text
//!   (none) ──Prepare──> prepared ──Activate──> active ──(successor activated)──> old ──Forget──> (none)
//!                       published              signs                             verifies only
//! ```
//!
//! A leader task asks [`plan`], carries out at most one [`Step`] as a replicated command, and asks again. Nothing is
//! remembered between two calls, so a new leader resumes in the middle. Preparing publishes the public half in the
//! trust bundle at once (SPIRE behaviour); the time until activation lets agents learn it.

use std::time::Duration;

use steeple_core::{Authority, AuthorityId, AuthorityKind, AuthoritySet, Timestamp};

use crate::policy::{ACTIVATE, PREPARE, Policy, lifetime};

/// The one thing to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a key and an authority, put it beside the active one in place of whatever is there, and publish it.
    Prepare(AuthorityKind),
    /// Let the prepared authority sign; the active one becomes old and its private key is dropped.
    Activate(AuthorityId),
    /// Drop an authority that has expired so long ago that nothing refers to it.
    Forget(AuthorityId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub step: Option<Step>,
    /// When to ask again: now while there is a step, else when the next step falls due. A driver does not sleep longer
    /// than [`RECHECK_MAX`] at a stretch.
    pub wake_at: Timestamp,
    /// Set while an activation is due and waits for acknowledgements.
    pub wait: Option<Wait>,
}

/// When a prepared authority takes over from the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activation {
    /// If everybody has acknowledged the bundle by then.
    pub due_at: Timestamp,
    /// At the latest, whoever is missing.
    pub until: Timestamp,
}

/// Why a due activation has not happened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Agents and replicas that are alive and have not acknowledged the bundle.
    pub missing: usize,
    /// When the activation goes ahead without them.
    pub until: Timestamp,
}

/// What is known about who holds the bundle that publishes the prepared authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckState {
    /// Nobody reports: only the thresholds count, as in SPIRE.
    NotTracked,
    Waiting {
        missing: usize,
    },
    All,
}

impl AckState {
    /// Agents and replicas that are known to lack the bundle.
    pub fn missing(self) -> usize {
        match self {
            Self::Waiting { missing } => missing,
            Self::NotTracked | Self::All => 0,
        }
    }
}

/// The longest sleep between two calls of [`plan`]. Wall clocks are stepped without notice; SPIRE looks as often.
pub const RECHECK_MAX: Duration = Duration::from_secs(10);
/// The shortest time between publishing and activating while the active authority is valid: a dozen polls of a stock
/// agent (one in 5 s).
pub const PROPAGATION_MAX: Duration = Duration::from_secs(60);
/// Authorities with short lives propagate in this part of their life instead of [`PROPAGATION_MAX`].
const PROPAGATION_LIFETIME_DIVISOR: u32 = 12;
/// An old authority stays this long after its expiry, as its root stays in the bundle (SPIRE behaviour).
pub const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Decides what is to be done with the authorities of one kind at `now`.
pub fn plan(now: Timestamp, kind: AuthorityKind, policy: &Policy, set: &AuthoritySet, acks: AckState) -> Plan {
    let prepared = set.prepared().filter(|prepared| now < prepared.not_after);
    let Some(active) = set.active.as_ref().filter(|active| now < active.not_after) else {
        // Nothing can sign: at first start, or after an outage longer than the authority's life.
        return match prepared {
            Some(prepared) => Plan::act(now, Step::Activate(prepared.id.clone())),
            None => Plan::act(now, Step::Prepare(kind)),
        };
    };
    let prepare_at = PREPARE.start(active);
    match prepared {
        Some(prepared) if now <= ACTIVATE.start(prepared) => plan_activation(now, policy, active, prepared, acks),
        // None, or one that would have to be replaced as soon as it is activated. An old authority is in nobody's way,
        // be it tainted and not revoked yet: it leaves its slot, as in SPIRE, and is trusted no longer than its
        // certificate says. To wait for whoever has to revoke it would let the active one run out.
        _ if now > prepare_at || active.restored => Plan::act(now, Step::Prepare(kind)),
        _ => plan_forgetting(now, set, prepare_at),
    }
}

/// When the prepared authority of `set` takes over, for people and for [`plan`]. `None` without a pair that waits.
pub fn activation(policy: &Policy, set: &AuthoritySet) -> Option<Activation> {
    Some(Activation::of(policy, set.active.as_ref()?, set.prepared()?))
}

impl Activation {
    fn of(policy: &Policy, active: &Authority, prepared: &Authority) -> Self {
        let propagation = (lifetime(active) / PROPAGATION_LIFETIME_DIVISOR).min(PROPAGATION_MAX);
        let published_for_long = prepared.issued_at.saturating_add(propagation);
        let due_at = match active.restored {
            true => published_for_long,
            false => published_for_long.max(ACTIVATE.start(active)),
        };
        let margin = ACTIVATE.of(lifetime(active));
        let until = due_at.saturating_add(policy.ack_wait_max).min(active.not_after.saturating_sub(margin / 2));
        Self { due_at, until: until.max(due_at) }
    }
}

fn plan_activation(now: Timestamp, policy: &Policy, active: &Authority, prepared: &Authority, acks: AckState) -> Plan {
    let Activation { due_at, until } = Activation::of(policy, active, prepared);
    if now <= due_at {
        return Plan::sleep(due_at.min(active.not_after));
    }
    match acks {
        AckState::Waiting { missing } if missing > 0 && now <= until => {
            Plan { wait: Some(Wait { missing, until }), ..Plan::sleep(until) }
        }
        _ => Plan::act(now, Step::Activate(prepared.id.clone())),
    }
}

fn plan_forgetting(now: Timestamp, set: &AuthoritySet, prepare_at: Timestamp) -> Plan {
    let Some(beside) = &set.next else { return Plan::sleep(prepare_at) };
    let forget_at = beside.not_after.saturating_add(FORGET_AFTER);
    if now > forget_at {
        Plan::act(now, Step::Forget(beside.id.clone()))
    } else {
        Plan::sleep(prepare_at.min(forget_at))
    }
}

impl Plan {
    fn act(now: Timestamp, step: Step) -> Self {
        Self { step: Some(step), wake_at: now, wait: None }
    }

    /// Thresholds are crossed *after* their instant, hence the extra millisecond.
    fn sleep(until: Timestamp) -> Self {
        Self { step: None, wake_at: until.saturating_add(Duration::from_millis(1)), wait: None }
    }
}
