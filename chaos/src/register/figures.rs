//! Rates, gaps and what happened, computed from the history alone.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::history::{Answer, Line};
use super::model::Outcome;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) successes: u64,
    pub(crate) successes_per_second: f64,
    /// Refusals and open answers by their code.
    pub(crate) failures_by_code: BTreeMap<String, u64>,
    pub(crate) faults: BTreeMap<String, FaultFigures>,
}

/// How often a fault happened and what it cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FaultFigures {
    /// Begun, seen and healed.
    pub(crate) happened: u64,
    /// The longest time without an acknowledged write from its beginning until it was healed, of each.
    pub(crate) write_gaps_ms: Vec<u64>,
    /// How one saw the last one.
    pub(crate) evidence: String,
}

impl Figures {
    pub(crate) fn of(history: &[Line]) -> Self {
        let mut figures = Self::default();
        let (mut began, mut ended) = (None, 0);
        let (mut writes, mut last_write) = (HashSet::new(), 0);
        // The fault that goes on: when it began, and the longest gap in it.
        let mut current: Option<(u64, u64)> = None;
        for line in history {
            match line {
                Line::Invoke { op, at_us, call, .. } => {
                    began.get_or_insert(*at_us);
                    if call.is_write() {
                        writes.insert(*op);
                    }
                }
                Line::Return { op, at_us, answer } => {
                    let is_write = writes.remove(op);
                    match answer {
                        Answer::Told { outcome } => {
                            figures.successes += 1;
                            if is_write && *outcome == Outcome::Done {
                                if let Some((_, longest)) = &mut current {
                                    *longest = (*longest).max(at_us - last_write);
                                }
                                last_write = *at_us;
                            }
                        }
                        Answer::Refused { code } | Answer::Open { code } => {
                            *figures.failures_by_code.entry(code.clone()).or_default() += 1;
                        }
                        Answer::Wrong { .. } => {}
                    }
                }
                Line::Fault { at_us, .. } => current = Some((*at_us, 0)),
                Line::Healed { at_us, fault, evidence } => {
                    let Some((begun, longest)) = current.take() else { continue };
                    let since_last = at_us.saturating_sub(last_write.max(begun));
                    let fault = figures.faults.entry(fault.clone()).or_default();
                    fault.happened += 1;
                    fault.write_gaps_ms.push(longest.max(since_last) / 1_000);
                    fault.evidence.clone_from(evidence);
                }
                Line::LoadEnded { at_us } => ended = *at_us,
                _ => {}
            }
        }
        figures.seconds = ended.saturating_sub(began.unwrap_or(ended)) as f64 / 1e6;
        if figures.seconds > 0.0 {
            figures.successes_per_second = figures.successes as f64 / figures.seconds;
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::Call;
    use super::*;

    #[test]
    fn rates_gaps_and_faults() {
        let write = |op, at_us| {
            [
                Line::Invoke { op, at_us: at_us - 10, replica: 0, register: 0, call: Call::Update { value: op } },
                Line::Return { op, at_us, answer: Answer::Told { outcome: Outcome::Done } },
            ]
        };
        let fault = "leader killed".to_owned();
        let lines: Vec<Line> = [
            &write(1, 10)[..],
            &[Line::Fault { at_us: 500_000, fault: fault.clone() }],
            &write(2, 2_000_010),
            &[Line::Healed { at_us: 2_500_000, fault: fault.clone(), evidence: "seen".to_owned() }],
            &write(3, 3_000_000),
            &[Line::Fault { at_us: 3_100_000, fault: fault.clone() }],
            &[Line::Healed { at_us: 3_200_000, fault: fault.clone(), evidence: "seen again".to_owned() }],
            &[Line::LoadEnded { at_us: 4_000_000 }],
        ]
        .concat();
        let figures = Figures::of(&lines);
        assert_eq!((figures.successes, figures.seconds), (3, 4.0));
        let expected = FaultFigures { happened: 2, write_gaps_ms: vec![2_000, 100], evidence: "seen again".to_owned() };
        assert_eq!(figures.faults, BTreeMap::from([(fault, expected)]));
    }

    #[test]
    fn a_fault_that_was_not_healed_did_not_happen() {
        let begun = Line::Fault { at_us: 1, fault: "x".to_owned() };
        assert!(Figures::of(&[begun]).faults.is_empty());
    }
}
