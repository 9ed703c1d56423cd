//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::fault::Fault;
use super::restore::RESTORE;
use crate::signing::Signing;

#[derive(Args, Clone, Debug)]
pub struct SuiteArgs {
    /// Goes round after round until this many minutes of rounds that passed are in --out, with 3 replicas and with 5 in
    /// turn. What an earlier call with the same commit reached counts. Without it, one short round with 3 replicas.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub minutes: Option<u64>,
    /// As --minutes, but until this many rounds have passed.
    #[arg(long, conflicts_with = "minutes", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub rounds: Option<u64>,
    /// Chooses the order of the faults, their victims, the pauses between them and what the clients do. A round adds 1.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Calls a second that the clients attempt, all together.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(60..=2000))]
    pub rate: u32,
    /// Only these faults or scenarios: partitions, processes, membership, disks, clocks, rotation,
    /// restore.
    #[arg(long, num_args = 1..)]
    pub only: Vec<String>,
    /// Which replicas sign.
    #[arg(long, value_enum, default_value_t)]
    pub signing: Signing,
    /// Where histories, the servers' logs and the reports are kept; beside the folder of this program by default.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// What one round does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) replicas: usize,
    pub(super) rate: u32,
    /// In the order of the table; a long round shuffles them.
    pub(super) faults: Vec<Fault>,
    pub(super) rotation: bool,
    pub(super) restore: bool,
    pub(super) signing: Signing,
    /// How long a fault lasts that has no end of its own.
    pub(super) hold: Duration,
    pub(super) shuffled: bool,
}

pub(super) const ROTATION: &str = "rotation";
const SHORT_HOLD: Duration = Duration::from_secs(2);
const LONG_HOLD: Duration = Duration::from_secs(8);

impl SuiteArgs {
    pub(super) fn is_long(&self) -> bool {
        self.minutes.is_some() || self.rounds.is_some()
    }

    /// Whether so many rounds, with so many seconds under load, are what was asked for.
    pub(super) fn is_reached(&self, rounds: usize, seconds: f64) -> bool {
        let enough = self.rounds.is_none_or(|wanted| rounds as u64 >= wanted);
        enough && self.minutes.is_none_or(|wanted| seconds >= (wanted * 60) as f64)
    }

    /// Round `number` counts from 0.
    pub(super) fn plan(&self, number: u64) -> anyhow::Result<Plan> {
        let named = |name: &str| self.only.iter().any(|only| only == name);
        let is_chosen = |fault: &Fault| self.only.is_empty() || named(fault.name()) || named(fault.scenario());
        for only in &self.only {
            let known = |fault: &Fault| only == fault.name() || only == fault.scenario();
            if ![ROTATION, RESTORE].contains(&only.as_str()) && !Fault::ALL.iter().any(known) {
                let names: Vec<&str> = Fault::ALL.into_iter().map(Fault::name).collect();
                bail!("{only} is no fault; there are {ROTATION}, {RESTORE}, {}", names.join(", "));
            }
        }
        let long = self.is_long();
        Ok(Plan {
            seed: self.seed + number,
            replicas: if long && number % 2 == 1 { 5 } else { 3 },
            rate: self.rate,
            faults: Fault::ALL.into_iter().filter(is_chosen).collect(),
            rotation: self.only.is_empty() || named(ROTATION),
            restore: self.only.is_empty() || named(RESTORE),
            signing: self.signing,
            hold: if long { LONG_HOLD } else { SHORT_HOLD },
            shuffled: long,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(minutes: Option<u64>, only: &[&str]) -> SuiteArgs {
        let only = only.iter().map(|only| (*only).to_owned()).collect();
        SuiteArgs { minutes, rounds: None, seed: 5, rate: 300, only, signing: Signing::default(), out: None }
    }

    #[test]
    fn a_short_round_has_every_fault_and_a_rotation() {
        let plan = args(None, &[]).plan(0).unwrap();
        assert_eq!((plan.faults.len(), plan.replicas), (Fault::ALL.len(), 3));
        assert!(plan.rotation && plan.restore);
    }

    #[test]
    fn a_long_run_ends_after_its_minutes_or_its_rounds() {
        let minutes = args(Some(2), &[]);
        assert!(!minutes.is_reached(99, 119.0) && minutes.is_reached(1, 120.0));
        let rounds = SuiteArgs { rounds: Some(3), ..args(None, &[]) };
        assert!(rounds.is_long() && !rounds.is_reached(2, 1e9) && rounds.is_reached(3, 1.0));
    }

    #[test]
    fn long_rounds_take_turns() {
        let plan = |number| args(Some(10), &[]).plan(number).unwrap();
        assert_eq!([plan(0).replicas, plan(1).replicas], [3, 5]);
        assert_eq!([plan(0).seed, plan(1).seed], [5, 6]);
    }

    #[test]
    fn faults_are_chosen_by_their_name_or_scenario() {
        let plan = args(None, &["clocks", "bridge", "leader-year-ahead"]).plan(0).unwrap();
        assert!(plan.faults.contains(&Fault::Bridge) && plan.faults.contains(&Fault::LeaderYearAhead));
        assert_eq!((plan.faults.len(), plan.rotation, plan.restore), (5, false, false));
        let error = args(None, &["rain"]).plan(0).unwrap_err().to_string();
        assert!(error.contains("rain is no fault") && error.contains("leader-killed"), "{error}");
    }
}
