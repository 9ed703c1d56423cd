//! The rotations to come, as the same [`plan`] would decide them if nothing unforeseen happens.

use std::collections::HashSet;

use steeple_core::{Authority, AuthorityId, AuthorityKind, AuthoritySet, AuthorityStatus, SealedKey, Timestamp};

use crate::lifecycle::{AckState, FORGET_AFTER, Plan, Step, plan};
use crate::policy::Policy;

/// One step of the future. Authorities that do not exist yet are called `next-1`, `next-2` and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForecastStep {
    pub at: Timestamp,
    pub step: Step,
    /// The expiry of the authority that the step concerns.
    pub not_after: Timestamp,
}

/// Yields the steps between `now` and `until`, at most [`FORECAST_STEPS_MAX`].
pub struct Forecast<'a> {
    at: Timestamp,
    until: Timestamp,
    kind: AuthorityKind,
    policy: &'a Policy,
    set: AuthoritySet,
    steps: usize,
    made: usize,
}

/// A year of authorities that live a day takes about 1,500 steps; shorter lives are cut off here.
pub const FORECAST_STEPS_MAX: usize = 4096;

/// Foretells what becomes of `set`, assuming that every acknowledgement arrives in time.
pub fn forecast(
    now: Timestamp,
    until: Timestamp,
    kind: AuthorityKind,
    policy: &Policy,
    set: AuthoritySet,
) -> Forecast<'_> {
    Forecast { at: now, until, kind, policy, set, steps: 0, made: 0 }
}

impl Iterator for Forecast<'_> {
    type Item = ForecastStep;

    fn next(&mut self) -> Option<ForecastStep> {
        while self.steps < FORECAST_STEPS_MAX && self.at <= self.until {
            self.steps += 1;
            let Plan { step, wake_at, .. } = plan(self.at, self.kind, self.policy, &self.set, AckState::All);
            if let Some(step) = step {
                return Some(self.take(step));
            }
            self.at = wake_at;
        }
        None
    }
}

/// When the authorities of `set`, and those that `steps` make, leave the bundle: a day after they end. Most have left
/// their slot by then, so that no step of the plan says it; those that one does say it of are left out.
pub fn leavings(set: &AuthoritySet, steps: &[ForecastStep], until: Timestamp) -> Vec<ForecastStep> {
    let there = [&set.active, &set.next].into_iter().flatten().map(|it| (it.id.clone(), it.not_after));
    let made = steps.iter().filter(|step| matches!(step.step, Step::Prepare(_)));
    let made = made.enumerate().map(|(at, step)| (made_id(at + 1), step.not_after));
    let told: HashSet<&AuthorityId> = steps
        .iter()
        .filter_map(|step| match &step.step {
            Step::Forget(id) => Some(id),
            Step::Activate(_) | Step::Prepare(_) => None,
        })
        .collect();
    let leaves = |(id, not_after): (AuthorityId, Timestamp)| {
        let at = not_after.saturating_add(FORGET_AFTER);
        let is_news = at <= until && !told.contains(&id);
        is_news.then_some(ForecastStep { at, step: Step::Forget(id), not_after })
    };
    there.chain(made).filter_map(leaves).collect()
}

impl Forecast<'_> {
    /// Up to when every step has been yielded, once there are no more: earlier than asked for where
    /// [`FORECAST_STEPS_MAX`] cut it off.
    pub fn covers(&self) -> Timestamp {
        self.at.min(self.until)
    }

    fn take(&mut self, step: Step) -> ForecastStep {
        let at = self.at;
        if matches!(step, Step::Prepare(_)) {
            self.made += 1;
        }
        let before = self.set.next.clone();
        carry_out(&mut self.set, &step, at, self.policy, self.made);
        let concerned = match step {
            Step::Prepare(_) => self.set.next.as_ref(),
            Step::Activate(_) => self.set.active.as_ref(),
            Step::Forget(_) => before.as_ref(),
        };
        let not_after = concerned.map_or(at, |authority| authority.not_after);
        ForecastStep { at, step, not_after }
    }
}

/// What a step does to a set, without keys.
pub(crate) fn carry_out(set: &mut AuthoritySet, step: &Step, at: Timestamp, policy: &Policy, number: usize) {
    match step {
        Step::Prepare(kind) => set.next = Some(sketch(*kind, at, policy, number)),
        Step::Activate(_) => {
            let old = set.active.take().map(|old| Authority { status: AuthorityStatus::Old, ..old });
            set.active = set.next.take().map(|next| Authority { status: AuthorityStatus::Active, ..next });
            set.next = old;
        }
        Step::Forget(_) => set.next = None,
    }
}

fn made_id(number: usize) -> AuthorityId {
    format!("next-{number}")
}

fn sketch(kind: AuthorityKind, at: Timestamp, policy: &Policy, number: usize) -> Authority {
    Authority {
        id: made_id(number),
        kind,
        status: AuthorityStatus::Prepared,
        key_type: policy.key_type(kind),
        issued_at: at,
        not_after: at.saturating_add(policy.ca_ttl),
        certificate: Vec::new(),
        upstream_chain: Vec::new(),
        upstream_authority_id: String::new(),
        public_key: Vec::new(),
        key: SealedKey { keyring_term: 0, ciphertext: Vec::new() },
        restored: false,
    }
}
