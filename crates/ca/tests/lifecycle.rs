//! The life cycle driven through simulated time: `plan`, a set of authorities that obeys it, and a clock that lies.

use std::time::Duration;

use proptest::prelude::*;
use steeple_ca::forecast::{FORECAST_STEPS_MAX, ForecastStep, forecast, leavings};
use steeple_ca::lifecycle::{AckState, FORGET_AFTER, Plan, Step, Wait, activation, plan};
use steeple_ca::policy::{ACTIVATE, PREPARE, Policy};
use steeple_core::{Authority, AuthorityKind, AuthoritySet, AuthorityStatus, KeyType, SealedKey, Timestamp};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

#[test]
fn a_day_in_the_life_of_the_default_policy() {
    let mut world = World::new(Policy::default());
    world.run_until(START.saturating_add(26 * HOUR), AckState::NotTracked);
    let hours = |hours: u32| START.saturating_add(hours * HOUR + Duration::from_millis(1));
    let x509 = AuthorityKind::X509;
    assert_eq!(
        world.history,
        [
            (START, Step::Prepare(x509)),
            (START, Step::Activate("1".into())),
            (hours(12), Step::Prepare(x509)),
            (hours(20), Step::Activate("2".into())),
            // The second lives from hour 12 to hour 36, so its successor is due at hour 24.
            (at_ms(24 * 3_600_000 + 2), Step::Prepare(x509)),
        ]
    );
}

#[test]
fn long_lives_are_capped_by_30_and_7_days_and_the_old_one_is_forgotten() {
    let mut world = World::new(Policy { ca_ttl: 365 * DAY, ..Policy::default() });
    world.run_until(START.saturating_add(367 * DAY), AckState::NotTracked);
    let days = |days: u32| START.saturating_add(days * DAY + Duration::from_millis(1));
    assert_eq!(
        world.history[2..],
        [
            (days(335), Step::Prepare(AuthorityKind::X509)),
            (days(358), Step::Activate("2".into())),
            (days(366), Step::Forget("1".into())),
        ]
    );
    assert_eq!(world.set.next, None);
}

#[test]
fn a_restored_authority_is_replaced_as_soon_as_its_successor_is_known() {
    let mut world = World::new(Policy { ca_ttl: 365 * DAY, ..Policy::default() });
    world.run_until(START.saturating_add(DAY), AckState::NotTracked);
    world.set.active.as_mut().unwrap().restored = true;
    world.run_until(START.saturating_add(2 * DAY), AckState::NotTracked);
    let restored = START.saturating_add(DAY);
    let [.., prepared, activated] = &world.history[..] else { panic!("{:?}", world.history) };
    assert_eq!((world.history.len(), &prepared.1), (4, &Step::Prepare(AuthorityKind::X509)));
    assert_eq!(activated.1, Step::Activate("2".into()));
    assert!(prepared.0 <= restored.saturating_add(Duration::from_secs(60)), "{prepared:?}");
    assert_eq!(activated.0.as_ms() - prepared.0.as_ms(), 60_001);
    assert!(!world.set.active.as_ref().unwrap().restored);
}

#[test]
fn a_due_activation_waits_for_acknowledgements_until_its_bound() {
    let mut world = World::new(Policy { ack_wait_max: HOUR, ..Policy::default() });
    world.run_until(START.saturating_add(13 * HOUR), AckState::NotTracked);
    let due = START.saturating_add(20 * HOUR);
    let until = due.saturating_add(HOUR);
    let just_after = due.saturating_add(Duration::from_millis(1));
    let waiting = AckState::Waiting { missing: 3 };
    let held = world.plan(just_after, waiting);
    assert_eq!((held.step, held.wait), (None, Some(Wait { missing: 3, until })));
    assert_eq!(held.wake_at, until.saturating_add(Duration::from_millis(1)));
    let activate = Some(Step::Activate("2".into()));
    assert_eq!(world.plan(just_after, AckState::All).step, activate);
    assert_eq!(world.plan(just_after, AckState::Waiting { missing: 0 }).step, activate);
    assert_eq!(world.plan(held.wake_at, waiting).step, activate);
    assert_eq!(world.plan(due, AckState::All).step, None, "acknowledgements never make an activation earlier");
}

#[test]
fn the_activation_that_people_are_told_of_is_the_one_that_happens() {
    let mut world = World::new(Policy::default());
    assert_eq!(activation(&world.policy, &world.set), None);
    world.run_until(START.saturating_add(13 * HOUR), AckState::NotTracked);
    let told = activation(&world.policy, &world.set).unwrap();
    assert_eq!((told.due_at, told.until), (START.saturating_add(20 * HOUR), START.saturating_add(21 * HOUR)));
    let waiting = AckState::Waiting { missing: 1 };
    assert_eq!(world.plan(told.due_at, AckState::All).step, None);
    assert_eq!(world.plan(told.until, waiting).step, None);
    assert!(world.plan(told.until.saturating_add(Duration::from_millis(1)), waiting).step.is_some());
}

#[test]
fn the_wait_for_acknowledgements_leaves_half_of_the_margin() {
    let mut world = World::new(Policy { ack_wait_max: 100 * DAY, ..Policy::default() });
    world.run_until(START.saturating_add(13 * HOUR), AckState::NotTracked);
    let held = world.plan(START.saturating_add(21 * HOUR), AckState::Waiting { missing: 1 });
    assert_eq!(held.wait.unwrap().until, START.saturating_add(22 * HOUR));
}

#[test]
fn after_an_outage_beyond_every_expiry_the_trust_domain_starts_again() {
    let mut world = World::new(Policy::default());
    world.run_until(START.saturating_add(13 * HOUR), AckState::NotTracked);
    world.now = START.saturating_add(30 * DAY);
    let now = world.now;
    world.run_until(now, AckState::NotTracked);
    let last = &world.history[world.history.len() - 3..];
    let steps = [Step::Prepare(AuthorityKind::X509), Step::Activate("3".into()), Step::Forget("1".into())];
    assert_eq!(*last, steps.map(|step| (now, step)));
}

#[test]
fn a_spent_successor_is_replaced_before_it_is_activated() {
    // The active authority lives for a year; its successor was prepared by hand and lives for a day.
    let mut world = World::new(Policy { ca_ttl: 365 * DAY, ..Policy::default() });
    world.run_until(START, AckState::NotTracked);
    world.policy.ca_ttl = DAY;
    world.now = START.saturating_add(334 * DAY);
    world.prepare();
    assert_eq!(world.plan(world.now, AckState::All).step, None);
    let later = START.saturating_add(336 * DAY);
    assert_eq!(world.plan(later, AckState::All).step, Some(Step::Prepare(AuthorityKind::X509)));
    // And where no successor is due yet, an expired one is cleared away.
    world.set.next.as_mut().unwrap().not_after = START.saturating_add(300 * DAY);
    let early = START.saturating_add(302 * DAY);
    assert_eq!(world.plan(early, AckState::All).step, Some(Step::Forget("2".into())));
}

/// An operator rotates, taints what got out, and does not come to revoke it, for years: the old authority lies beside
/// each active one until its successor is due, however long it would live on.
#[test]
fn an_old_authority_that_is_not_revoked_delays_no_successor() {
    for ca_ttl in [2 * HOUR, DAY, 365 * DAY] {
        let mut world = World::new(Policy { ca_ttl, ..Policy::default() });
        world.run_until(START, AckState::NotTracked);
        let mut in_the_way = 0;
        for tenth in 1..50 {
            world.run_until(START.saturating_add(ca_ttl * tenth / 10), AckState::Waiting { missing: 1 });
            if let Some(old) = world.set.next.as_mut().filter(|next| next.status == AuthorityStatus::Old) {
                old.not_after = START.saturating_add(100 * ca_ttl);
                in_the_way += 1;
            }
            let active = world.set.active.as_ref().expect("an active authority");
            // Half of the margin is what a wait for acknowledgements may use up.
            let reserve = ACTIVATE.of(ca_ttl) / 2;
            assert!(active.not_after.since(world.now) >= reserve, "{:?} at {tenth} tenths of {ca_ttl:?}", world.set);
        }
        let prepared = world.history.iter().filter(|(_, step)| matches!(step, Step::Prepare(_))).count();
        assert!(in_the_way > 3 && prepared > 4, "{in_the_way} tenths, {prepared} preparations");
    }
}

#[test]
fn the_forecast_is_what_happens() {
    let mut world = World::new(Policy::default());
    world.run_until(START, AckState::NotTracked);
    let until = START.saturating_add(10 * DAY);
    let foretold: Vec<ForecastStep> =
        forecast(START, until, AuthorityKind::X509, &world.policy, world.set.clone()).collect();
    world.history.clear();
    world.run_until(until, AckState::All);
    let happened: Vec<Timestamp> = world.history.iter().map(|(at, _)| *at).collect();
    assert_eq!(foretold.iter().map(|step| step.at).collect::<Vec<_>>(), happened);
    assert_eq!(foretold[0].step, Step::Prepare(AuthorityKind::X509));
    assert_eq!(foretold[1].step, Step::Activate("next-1".into()));
    assert_eq!(foretold[1].not_after, foretold[0].at.saturating_add(DAY));
}

#[test]
fn every_authority_leaves_the_bundle_a_day_after_its_end() {
    let mut world = World::new(Policy::default());
    world.run_until(START, AckState::NotTracked);
    let until = START.saturating_add(10 * DAY);
    let steps: Vec<ForecastStep> =
        forecast(START, until, AuthorityKind::X509, &world.policy, world.set.clone()).collect();
    let left = leavings(&world.set, &steps, until);
    assert_eq!((left[0].step.clone(), left[0].at), (Step::Forget("1".into()), START.saturating_add(2 * DAY)));
    assert_eq!(left[1].step, Step::Forget("next-1".into()));
    assert!(left.iter().all(|leaving| leaving.at == leaving.not_after.saturating_add(DAY) && leaving.at <= until));
    let leaves =
        |step: &&ForecastStep| matches!(step.step, Step::Prepare(_)) && step.not_after.saturating_add(DAY) <= until;
    assert_eq!(left.len(), 1 + steps.iter().filter(leaves).count(), "{left:?}");

    // Long lives are forgotten by a step of the plan, which is not told twice.
    let mut world = World::new(Policy { ca_ttl: 365 * DAY, ..Policy::default() });
    world.run_until(START, AckState::NotTracked);
    let until = START.saturating_add(400 * DAY);
    let steps: Vec<ForecastStep> =
        forecast(START, until, AuthorityKind::X509, &world.policy, world.set.clone()).collect();
    assert!(steps.iter().any(|step| step.step == Step::Forget("1".into())), "{steps:?}");
    assert!(leavings(&world.set, &steps, until).is_empty());
}

#[test]
fn a_forecast_is_bounded() {
    let policy = Policy { ca_ttl: Duration::from_secs(1), ..Policy::default() };
    let far = START.saturating_add(10_000 * DAY);
    let mut cut = forecast(START, far, AuthorityKind::Jwt, &policy, AuthoritySet::default());
    let steps: Vec<ForecastStep> = cut.by_ref().collect();
    assert!(steps.len() <= FORECAST_STEPS_MAX, "{}", steps.len());
    assert!(cut.covers() >= steps[steps.len() - 1].at && cut.covers() < far);
    let mut whole = forecast(START, START, AuthorityKind::Jwt, &policy, AuthoritySet::default());
    assert_eq!((whole.by_ref().count(), whole.covers()), (2, START));
    let still = Policy { ca_ttl: Duration::ZERO, ..Policy::default() };
    assert!(forecast(START, far, AuthorityKind::Jwt, &still, AuthoritySet::default()).count() <= FORECAST_STEPS_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Clocks that stand, run and jump, drivers that wake late, acknowledgements that come and go.
    #[test]
    fn invariants_hold_on_any_clock(
        ca_ttl_secs in 60_u64..400 * 86_400,
        ack_wait_secs in 0_u64..200_000,
        ticks in prop::collection::vec((tick(), acks()), 1..200),
    ) {
        let policy = Policy {
            ca_ttl: Duration::from_secs(ca_ttl_secs),
            ack_wait_max: Duration::from_secs(ack_wait_secs),
            ..Policy::default()
        };
        let mut world = World::new(policy);
        world.run_until(START, AckState::NotTracked);
        for (tick, acks) in ticks {
            world.now = tick.from(world.now, ca_ttl_secs);
            world.check_one_answer(acks);
            world.settle(acks)?;
            world.check()?;
        }
    }

    /// What lies in the slot of an old authority says nothing about when a successor is due.
    #[test]
    fn an_old_authority_changes_no_step_but_its_own_end(
        after_ms in 0_u64..90_000_000,
        lives_ms in -90_000_000_i64..900_000_000,
        restored in any::<bool>(),
        acks in acks(),
    ) {
        let mut world = World::new(Policy::default());
        world.run_until(START, AckState::NotTracked);
        world.set.active.as_mut().unwrap().restored = restored;
        let now = START.saturating_add(Duration::from_millis(after_ms));
        let alone = world.plan(now, acks);
        let old = Authority {
            id: "old".to_owned(),
            status: AuthorityStatus::Old,
            not_after: Timestamp::from_ms(now.as_ms() + lives_ms),
            ..world.set.active.clone().unwrap()
        };
        world.set.next = Some(old);
        let beside = world.plan(now, acks);
        match beside.step {
            Some(Step::Forget(_)) => prop_assert_eq!(alone.step, None),
            step => {
                prop_assert_eq!(step, alone.step);
                prop_assert!(beside.wake_at <= alone.wake_at, "it wakes too late");
            }
        }
    }

    /// Whatever the state, within two lives of a sane clock there is a fresh authority that follows the thresholds.
    #[test]
    fn a_sane_clock_converges(jump_secs in -3_000_000_i64..3_000_000, wait in 0_u64..10_000) {
        let mut world = World::new(Policy { ack_wait_max: Duration::from_secs(wait), ..Policy::default() });
        world.run_until(START.saturating_add(13 * HOUR), AckState::All);
        world.now = Timestamp::from_secs(world.now.as_secs() + jump_secs);
        world.settle(AckState::All)?;
        // Back on a sane clock, possibly long before the authorities that the wrong clock made.
        world.now = START.saturating_add(14 * HOUR);
        let until = Timestamp::from_secs(world.now.as_secs() + 2 * jump_secs.abs() + 3 * 86_400);
        world.run_until(until, AckState::Waiting { missing: 1 });
        let active = world.set.active.as_ref().unwrap();
        prop_assert!(active.not_after > world.now);
        prop_assert!(active.issued_at <= world.now);
    }
}

/// How far the clock moves before the driver looks again.
#[derive(Clone, Copy, Debug)]
enum Tick {
    /// As the driver does: at most ten seconds.
    Recheck,
    /// A leader was missing for a part of an authority's life, in thousandths.
    Outage(u64),
    /// The clock was stepped, in seconds.
    Step(i64),
}

fn tick() -> impl Strategy<Value = Tick> {
    prop_oneof![
        2 => Just(Tick::Recheck),
        6 => (0_u64..1500).prop_map(Tick::Outage),
        1 => (-1_000_000_i64..1_000_000).prop_map(Tick::Step),
    ]
}

fn acks() -> impl Strategy<Value = AckState> {
    prop_oneof![
        Just(AckState::NotTracked),
        Just(AckState::All),
        (0_usize..4).prop_map(|missing| AckState::Waiting { missing })
    ]
}

impl Tick {
    fn from(self, now: Timestamp, ca_ttl_secs: u64) -> Timestamp {
        match self {
            Self::Recheck => now.saturating_add(Duration::from_secs(10)),
            Self::Outage(thousandths) => now.saturating_add(Duration::from_millis(ca_ttl_secs * thousandths)),
            Self::Step(secs) => Timestamp::from_secs(now.as_secs() + secs),
        }
    }
}

/// A replicated state with one kind of authority and a driver.
struct World {
    now: Timestamp,
    policy: Policy,
    set: AuthoritySet,
    made: u32,
    history: Vec<(Timestamp, Step)>,
}

impl World {
    fn new(policy: Policy) -> Self {
        Self { now: START, policy, set: AuthoritySet::default(), made: 0, history: Vec::new() }
    }

    fn plan(&self, now: Timestamp, acks: AckState) -> Plan {
        plan(now, AuthorityKind::X509, &self.policy, &self.set, acks)
    }

    /// Sleeps exactly until `wake_at`, as a driver on a good clock does.
    fn run_until(&mut self, until: Timestamp, acks: AckState) {
        while self.now <= until {
            let Plan { step, wake_at, .. } = self.plan(self.now, acks);
            match step {
                Some(step) => self.carry_out(step),
                None if wake_at > until => break,
                None => {
                    assert!(wake_at > self.now, "a driver would spin at {wake_at}");
                    self.now = wake_at;
                }
            }
        }
        self.now = self.now.max(until);
    }

    /// Carries out what is due now; an instant needs few steps.
    fn settle(&mut self, acks: AckState) -> Result<(), TestCaseError> {
        for _ in 0..4 {
            let Some(step) = self.plan(self.now, acks).step else { return Ok(()) };
            self.check_step(&step, acks)?;
            self.carry_out(step);
        }
        prop_assert!(self.plan(self.now, acks).step.is_none(), "steps without end: {:?}", self.history);
        Ok(())
    }

    fn carry_out(&mut self, step: Step) {
        self.history.push((self.now, step.clone()));
        match step {
            Step::Prepare(_) => self.prepare(),
            Step::Activate(id) => {
                let mut prepared = self.set.next.take().expect("only what is prepared is activated");
                assert_eq!((prepared.status, &prepared.id), (AuthorityStatus::Prepared, &id));
                prepared.status = AuthorityStatus::Active;
                self.set.next = self.set.active.replace(prepared);
                if let Some(old) = &mut self.set.next {
                    old.status = AuthorityStatus::Old;
                }
            }
            Step::Forget(id) => assert_eq!(self.set.next.take().map(|next| next.id), Some(id)),
        }
    }

    fn prepare(&mut self) {
        self.made += 1;
        self.set.next = Some(Authority {
            id: self.made.to_string(),
            kind: AuthorityKind::X509,
            status: AuthorityStatus::Prepared,
            key_type: KeyType::EcP256,
            issued_at: self.now,
            not_after: self.now.saturating_add(self.policy.ca_ttl),
            certificate: vec![],
            upstream_chain: vec![],
            upstream_authority_id: String::new(),
            public_key: vec![],
            key: SealedKey { keyring_term: 1, ciphertext: vec![] },
            restored: false,
        });
    }

    /// Before the step is carried out.
    fn check_step(&self, step: &Step, acks: AckState) -> Result<(), TestCaseError> {
        let active = self.set.active.as_ref().filter(|active| active.not_after > self.now);
        match (step, active) {
            (Step::Prepare(_), Some(active)) => prop_assert!(self.now > PREPARE.start(active)),
            (Step::Activate(_), Some(active)) => {
                let prepared = self.set.prepared().unwrap();
                let published = prepared.issued_at.saturating_add(self.policy.ca_ttl.min(HOUR) / 60);
                prop_assert!(self.now > ACTIVATE.start(active));
                prop_assert!(self.now >= published.min(active.not_after), "activated before it was published");
                if matches!(acks, AckState::Waiting { missing } if missing > 0) {
                    let waited = ACTIVATE.start(active).saturating_add(self.policy.ack_wait_max);
                    let margin = ACTIVATE.of(active.not_after.since(active.issued_at));
                    prop_assert!(self.now > waited.min(active.not_after.saturating_sub(margin / 2)));
                }
            }
            (Step::Forget(_), _) => {
                let gone = self.set.next.as_ref().unwrap();
                prop_assert!(self.now > gone.not_after.saturating_add(FORGET_AFTER));
            }
            _ => {}
        }
        Ok(())
    }

    /// After an instant has settled.
    fn check(&self) -> Result<(), TestCaseError> {
        let active = self.set.active.as_ref().expect("an active authority");
        prop_assert!(active.not_after > self.now, "the active authority has expired");
        if let Some(next) = &self.set.next {
            prop_assert_ne!(next.status, AuthorityStatus::Active);
            prop_assert_ne!(&next.id, &active.id);
        }
        Ok(())
    }

    fn check_one_answer(&self, acks: AckState) {
        assert_eq!(self.plan(self.now, acks), self.plan(self.now, acks));
    }
}

fn at_ms(ms: i64) -> Timestamp {
    Timestamp::from_ms(START.as_ms() + ms)
}
