//! What is to be said of a round, for people and for programs.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::fault::{Fault, Need};
use super::options::Plan;
use super::restore::RESTORE;
use super::rotation;
use super::slack::Slack;
use crate::register::{FaultFigures, Figures, Line, Verdict};

/// A cluster that stands still breaks no promise; so it has to answer this much.
const SUCCESSES_PER_SECOND_MIN: f64 = 50.0;
/// The longest time without an acknowledged write in which a quorum went on: an election that goes wrong a few times.
const WRITE_GAP_MAX_MS: u64 = 15_000;
/// Updates to workloads in a round: their SVIDs have to rotate while faults happen.
const UPDATES_MIN: u64 = 2;
/// How many findings of a kind are printed; the JSON report has all.
const SHOWN_MAX: usize = 5;

/// What has to have happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    faults: BTreeSet<Fault>,
    rotations: Vec<String>,
    restore: bool,
    /// Faults that this machine does not allow.
    not_run: BTreeSet<Fault>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) passed: bool,
    /// Why the round ended before its end.
    pub(super) failure: Option<String>,
    pub(super) shortfalls: Vec<String>,
    pub(super) not_run: Vec<&'static str>,
    pub(super) workload_updates: u64,
    /// The least of all authorities that came into use: from when every workload had it until one was shown an SVID by
    /// it.
    pub(super) least_slack_ms: Option<i64>,
    pub(super) figures: Figures,
    pub(super) verdict: Verdict,
}

impl Expected {
    /// `needs_met` tells whether there is what a fault needs.
    pub(super) fn of(plan: &Plan, needs_met: impl Fn(Need) -> bool) -> Self {
        let is_possible = |fault: &&Fault| fault.need().is_none_or(&needs_met);
        let (faults, not_run) = plan.faults.iter().partition(|fault| is_possible(fault));
        let rotations = if plan.rotation { rotation::names(plan.seed) } else { Vec::new() };
        Self { faults, rotations, restore: plan.restore, not_run }
    }

    pub(super) fn includes(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Those that did not happen.
    fn missing(&self, figures: &Figures) -> Vec<String> {
        let faults = self.faults.iter().map(|fault| fault.name().to_owned());
        let restore = self.restore.then(|| RESTORE.to_owned());
        let all = faults.chain(self.rotations.iter().cloned()).chain(restore);
        all.filter(|name| figures.faults.get(name).is_none_or(|fault| fault.happened == 0)).collect()
    }
}

impl Report {
    pub(super) fn of(history: &[Line], expected: &Expected, workload_updates: u64, failure: Option<String>) -> Self {
        let (figures, verdict) = (Figures::of(history), Verdict::of(history));
        let mut shortfalls: Vec<String> =
            expected.missing(&figures).into_iter().map(|name| format!("{name} did not happen")).collect();
        if figures.successes_per_second < SUCCESSES_PER_SECOND_MIN {
            shortfalls.push(format!("fewer than {SUCCESSES_PER_SECOND_MIN} calls succeeded in a second"));
        }
        // A few faults are over before an SVID is half as old as it may be.
        if !expected.rotations.is_empty() && workload_updates < UPDATES_MIN {
            shortfalls.push(format!("workloads were sent {workload_updates} updates: no SVID rotated"));
        }
        for fault in expected.faults.iter().filter(|fault| fault.leaves_a_quorum()) {
            let gaps = figures.faults.get(fault.name()).map_or(&[][..], |fault| &fault.write_gaps_ms);
            if let Some(gap) = gaps.iter().find(|gap| **gap > WRITE_GAP_MAX_MS) {
                shortfalls.push(format!("{}: no write for {gap} ms", fault.name()));
            }
        }
        let slack = Slack::of(history);
        if !expected.rotations.is_empty() && slack.milliseconds.is_empty() {
            shortfalls.push("no workload was shown an SVID by a new authority".to_owned());
        }
        let early = slack.milliseconds.iter().filter(|slack| **slack <= 0);
        shortfalls.extend(early.map(|slack| format!("an authority was used {} ms before all knew it", -slack)));
        let unknown = slack.unknown.iter();
        shortfalls.extend(unknown.map(|name| format!("authority {name} was used, and some workload never had it")));
        let passed = failure.is_none() && shortfalls.is_empty() && verdict.is_clean();
        let not_run = expected.not_run.iter().map(|fault| fault.name()).collect();
        let least_slack_ms = slack.least();
        Self { passed, failure, shortfalls, not_run, workload_updates, least_slack_ms, figures, verdict }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (figures, verdict) = (&self.figures, &self.verdict);
        writeln!(f, "  {:<34} {:>5}  {:>20}", "fault", "times", "longest write gap")?;
        for (name, FaultFigures { happened, write_gaps_ms, .. }) in &figures.faults {
            let longest = write_gaps_ms.iter().max().copied().unwrap_or(0);
            writeln!(f, "  {name:<34} {happened:>5}  {longest:>17} ms")?;
        }
        for name in &self.not_run {
            writeln!(f, "  {name:<34} not run: it needs root, mounts and a network of its own")?;
        }
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<42} {value}");
        row("seconds under load", format!("{:.0}", figures.seconds))?;
        row("calls answered", figures.successes.to_string())?;
        row("calls answered a second", format!("{:.1}", figures.successes_per_second))?;
        for (code, count) in &figures.failures_by_code {
            row(&format!("calls without an answer, {code}"), count.to_string())?;
        }
        row("updates sent to workloads", self.workload_updates.to_string())?;
        if let Some(slack) = self.least_slack_ms {
            row("milliseconds from known to used, least", slack.to_string())?;
        }
        row("registers", verdict.registers.to_string())?;
        row("operations on them", verdict.operations.to_string())?;
        row("state hashes compared at equal indexes", verdict.hashes_compared.to_string())?;
        for (what, found) in verdict.findings() {
            row(what, found.len().to_string())?;
        }
        let found = verdict.findings().into_iter().flat_map(|(_, found)| found.iter().take(SHOWN_MAX));
        for text in found.chain(&self.shortfalls).chain(&self.failure) {
            writeln!(f, "  ! {text}")?;
        }
        writeln!(f, "  {}", if self.passed { "PASSED" } else { "FAILED" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::Signing;
    use crate::suite::options::SuiteArgs;

    fn expected(has_volume: bool) -> Expected {
        let only = ["disk-full", "power-cut", "leader-unplugged"].map(str::to_owned).to_vec();
        let args =
            SuiteArgs { minutes: None, rounds: None, seed: 0, rate: 300, only, signing: Signing::default(), out: None };
        Expected::of(&args.plan(0).unwrap(), |need| has_volume && need == Need::Volume)
    }

    fn happened(fault: Fault) -> [Line; 2] {
        let fault = fault.name().to_owned();
        [Line::Fault { at_us: 1, fault: fault.clone() }, Line::Healed { at_us: 2, fault, evidence: "seen".to_owned() }]
    }

    #[test]
    fn a_fault_that_did_not_happen_fails_the_round() {
        let history = happened(Fault::PowerCut);
        let missing = |expected: &Expected| {
            let shortfalls = Report::of(&history, expected, 9, None).shortfalls;
            shortfalls.into_iter().filter(|text| text.contains("did not happen")).collect::<Vec<_>>()
        };
        assert_eq!(missing(&expected(true)), ["disk-full did not happen"]);
        assert_eq!(missing(&expected(false)), [""; 0]);
        assert_eq!(Report::of(&history, &expected(false), 9, None).not_run, ["leader-unplugged", "disk-full"]);
    }

    #[test]
    fn a_cluster_that_stands_still_does_not_pass() {
        let report = Report::of(&happened(Fault::PowerCut), &expected(false), 9, None);
        assert!(!report.passed && report.verdict.is_clean(), "{report}");
        assert!(report.to_string().contains("fewer than 50 calls"), "{report}");
    }

    #[test]
    fn a_long_gap_is_one_only_where_a_quorum_goes_on() {
        let long = |fault: Fault| {
            let fault = fault.name().to_owned();
            let begun = Line::Fault { at_us: 1, fault: fault.clone() };
            let healed = Line::Healed { at_us: 60_000_001, fault, evidence: "seen".to_owned() };
            [begun, healed]
        };
        let gaps = |fault| {
            let report = Report::of(&long(fault), &expected(true), 9, None);
            report.shortfalls.into_iter().filter(|text| text.contains("no write for")).count()
        };
        assert_eq!((gaps(Fault::DiskFull), gaps(Fault::PowerCut)), (1, 0));
    }
}
