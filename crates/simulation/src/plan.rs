//! What a seed stands for. Pure: the same seed is the same plan for ever.

use std::time::Duration;

use serde::Serialize;
use steeple_testkit::Dice;

use crate::fault::{Fault, Scheduled};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    pub seed: u64,
    pub servers: usize,
    /// Of each kind, see [`crate::clients`].
    pub writers: usize,
    pub agents: usize,
    /// The slowest message, and the slowest sync.
    pub latency_max: Duration,
    pub sync_max: Duration,
    /// A snapshot after so many log entries.
    pub snapshot_entries: u64,
    pub ca_ttl: Duration,
    /// How long clients work, with faults for most of it.
    pub load: Duration,
    pub faults: Vec<Scheduled>,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let servers = if dice.below(3) == 0 { 5 } else { 3 };
        let (writers, agents) = (2, 3);
        // Acknowledgements are complete once a replica has listened for a minute.
        let is_calm = dice.below(4) == 0;
        let (load, gap_max_ms) = if is_calm { (LOAD_CALM, 30_000) } else { (LOAD, 7_000) };
        let mut plan = Self {
            seed,
            servers,
            writers,
            agents,
            latency_max: between(&mut dice, 5, 60),
            sync_max: if dice.below(4) == 0 { between(&mut dice, 50, 250) } else { between(&mut dice, 1, 20) },
            snapshot_entries: 20 + dice.below(200),
            ca_ttl: between(&mut dice, 40_000, 120_000) * if is_calm { 3 } else { 1 },
            load,
            faults: Vec::new(),
        };
        plan.faults = plan.schedule(&mut dice, gap_max_ms);
        plan
    }

    /// Faults overlap now and then, as far as a cluster promises to bear them. One disk at most is replaced: two could
    /// hold the only copies of an entry. Most clocks are right: what they agree about is the time.
    fn schedule(&self, dice: &mut Dice, gap_max_ms: u64) -> Vec<Scheduled> {
        let (mut faults, mut may_replace) = (Vec::new(), true);
        let mut at = between(dice, 500, 4_000);
        while at < self.load.saturating_sub(QUIET) {
            let mut fault = self.draw(dice, &mut may_replace);
            if matches!(fault, Fault::Clock { .. }) && wrong_clocks(&faults, at) >= (self.servers - 1) / 2 {
                fault = self.cut_off(dice);
            }
            let lasts = between(dice, 200, 8_000).min(self.load.saturating_sub(at));
            faults.push(Scheduled { at, lasts, fault });
            at += between(dice, 200, gap_max_ms);
        }
        faults
    }

    fn draw(&self, dice: &mut Dice, may_replace: &mut bool) -> Fault {
        let server = self.server(dice);
        match dice.below(12) {
            0..=2 => Fault::PowerCut { servers: vec![server] },
            3 => Fault::PowerCut { servers: self.some(dice) },
            4 if std::mem::take(may_replace) => Fault::DiskReplaced { server },
            4 | 5 => Fault::Split { servers: vec![server] },
            6 => Fault::Split { servers: self.some(dice) },
            7 => Fault::Deaf { from: server, to: (server + 1 + self.other(dice)) % self.servers },
            8 => Fault::Held { server },
            9 => Fault::Clock { server, ahead_ms: OFF_MS[choice(dice, OFF_MS.len())] },
            _ => self.cut_off(dice),
        }
    }

    fn cut_off(&self, dice: &mut Dice) -> Fault {
        Fault::ClientCutOff { client: choice(dice, self.writers + self.agents) }
    }

    fn server(&self, dice: &mut Dice) -> usize {
        choice(dice, self.servers)
    }

    /// A distance to another server, less one.
    fn other(&self, dice: &mut Dice) -> usize {
        choice(dice, self.servers - 1)
    }

    /// One to all of them.
    fn some(&self, dice: &mut Dice) -> Vec<usize> {
        let mut chosen: Vec<usize> = (0..self.servers).filter(|_| dice.below(2) == 0).collect();
        if chosen.is_empty() {
            chosen.push(self.server(dice));
        }
        chosen
    }
}

/// Clocks that are wrong at that moment, or were a moment ago, when others looked at them last.
fn wrong_clocks(faults: &[Scheduled], at: Duration) -> usize {
    let lasting = faults.iter().filter(|it| at < it.at + it.lasts + CLOCK_KNOWN_FOR);
    lasting.filter(|it| matches!(it.fault, Fault::Clock { .. })).count()
}

fn between(dice: &mut Dice, from_ms: u64, to_ms: u64) -> Duration {
    Duration::from_millis(from_ms + dice.below(to_ms - from_ms))
}

fn choice(dice: &mut Dice, from: usize) -> usize {
    usize::try_from(dice.below(from as u64)).unwrap_or(0)
}

const LOAD: Duration = Duration::from_secs(45);
/// Fewer faults for each second, and authorities that live longer.
const LOAD_CALM: Duration = Duration::from_secs(150);
/// At the end of the load nothing new goes wrong.
const QUIET: Duration = Duration::from_secs(5);
/// Replicas ask each other for the time every second, and go by the last answer for so long.
const CLOCK_KNOWN_FOR: Duration = Duration::from_secs(60);
/// A little, more than a leader may be off, an hour.
const OFF_MS: [i64; 6] = [-3_600_000, -15_000, -2_000, 2_000, 15_000, 3_600_000];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(Plan::of(7), Plan::of(7));
        assert_ne!(Plan::of(7).faults, Plan::of(8).faults);
    }

    #[test]
    fn every_kind_of_fault_comes_up_and_at_most_one_disk_goes() {
        let plans: Vec<Plan> = (0..200).map(Plan::of).collect();
        let kinds: BTreeSet<&str> = plans.iter().flat_map(|plan| &plan.faults).map(|it| it.fault.kind()).collect();
        assert_eq!(kinds.len(), 7, "{kinds:?}");
        for plan in &plans {
            let replaced = plan.faults.iter().filter(|it| it.fault.kind() == "disk_replaced").count();
            assert!(replaced <= 1 && !plan.faults.is_empty(), "{plan:?}");
            let clocks = plan.faults.iter().filter(|it| it.fault.kind() == "clock");
            for (begun, it) in clocks.enumerate() {
                let ended = plan.faults.iter().filter(|it| it.fault.kind() == "clock").take(begun);
                let wrong = 1 + ended.filter(|before| before.at + before.lasts > it.at).count();
                assert!(wrong * 2 < plan.servers, "the time is what most clocks say: {plan:?}");
            }
            let ends = plan.faults.iter().map(|it| it.at + it.lasts);
            assert!(ends.max() <= Some(plan.load));
            for it in &plan.faults {
                if let Fault::Deaf { from, to } = it.fault {
                    assert!(from != to && from.max(to) < plan.servers);
                }
            }
        }
    }
}
