//! Rates and gaps, computed from the history alone.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::history::{Answer, Call, Fault, Line};

/// What a run has to reach, beside a clean verdict.
const GAP_MEDIAN_MAX_MS: u64 = 2_000;
const GAP_P99_MAX_MS: u64 = 4_000;
const SUCCESSES_PER_SECOND_MIN: f64 = 50.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Figures {
    pub(super) seconds: f64,
    pub(super) leader_kills: usize,
    pub(super) power_cuts: usize,
    /// What the logs of all replicas lost at the power cuts.
    pub(super) dropped_bytes: u64,
    /// The longest time without an acknowledged write around each leader kill, in ascending order.
    pub(super) write_gaps_ms: Vec<u64>,
    pub(super) write_gap_median_ms: u64,
    pub(super) write_gap_p99_ms: u64,
    pub(super) write_gap_max_ms: u64,
    pub(super) successes: u64,
    pub(super) successes_per_second: f64,
    /// Successes by the kind of call.
    pub(super) successes_by_call: BTreeMap<&'static str, u64>,
    /// Refusals and open answers by their code.
    pub(super) failures_by_code: BTreeMap<String, u64>,
}

impl Figures {
    pub(super) fn of(history: &[Line]) -> Self {
        let mut figures = Self { seconds: load_seconds(history), ..Self::default() };
        let mut calls: HashMap<u64, &Call> = HashMap::new();
        let mut acknowledged = Vec::new();
        for line in history {
            match line {
                Line::Invoke { op, call, .. } => {
                    calls.insert(*op, call);
                }
                Line::Return { op, at_us, answer } => {
                    let Some(call) = calls.remove(op) else { continue };
                    figures.count(call, answer);
                    if call.is_write() && answer.is_success() {
                        acknowledged.push(*at_us);
                    }
                }
                Line::Fault { fault: Fault::PowerCut { dropped_bytes }, .. } => {
                    figures.power_cuts += 1;
                    figures.dropped_bytes += dropped_bytes;
                }
                Line::Fault { .. } | Line::Sample { .. } => {}
            }
        }
        figures.write_gaps_ms =
            kills(history).into_iter().map(|(from, to)| longest_gap_us(&acknowledged, from, to) / 1_000).collect();
        figures.write_gaps_ms.sort_unstable();
        figures.leader_kills = figures.write_gaps_ms.len();
        figures.write_gap_median_ms = quantile(&figures.write_gaps_ms, 0.5);
        figures.write_gap_p99_ms = quantile(&figures.write_gaps_ms, 0.99);
        figures.write_gap_max_ms = quantile(&figures.write_gaps_ms, 1.0);
        figures.successes = figures.successes_by_call.values().sum();
        if figures.seconds > 0.0 {
            figures.successes_per_second = figures.successes as f64 / figures.seconds;
        }
        figures
    }

    /// What fell short of the promise.
    pub(super) fn shortfalls(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.write_gap_median_ms > GAP_MEDIAN_MAX_MS {
            found.push(format!("the median write gap is above {GAP_MEDIAN_MAX_MS} ms"));
        }
        if self.write_gap_p99_ms > GAP_P99_MAX_MS {
            found.push(format!("the 99th percentile of the write gaps is above {GAP_P99_MAX_MS} ms"));
        }
        if self.successes_per_second < SUCCESSES_PER_SECOND_MIN {
            found.push(format!("fewer than {SUCCESSES_PER_SECOND_MIN} calls succeeded in a second"));
        }
        found
    }

    fn count(&mut self, call: &Call, answer: &Answer) {
        if answer.is_success() {
            let kind = match call {
                Call::Create { .. } => "creates",
                Call::Delete { .. } => "deletes",
                Call::List { .. } => "lists",
                Call::SignX509 { .. } => "X.509 signings",
                Call::SignJwt { .. } => "JWT signings",
            };
            *self.successes_by_call.entry(kind).or_default() += 1;
        } else if let Answer::Refused { code } | Answer::Unknown { code } = answer {
            *self.failures_by_code.entry(code.clone()).or_default() += 1;
        }
    }
}

/// From the first call to the end of the load.
fn load_seconds(history: &[Line]) -> f64 {
    let first = history.iter().find_map(|line| match line {
        Line::Invoke { at_us, .. } => Some(*at_us),
        _ => None,
    });
    let last = history.iter().rev().find_map(|line| match line {
        Line::Fault { at_us, fault: Fault::LoadEnded } => Some(*at_us),
        _ => None,
    });
    last.unwrap_or(0).saturating_sub(first.unwrap_or(0)) as f64 / 1e6
}

/// From each kill to the moment when the killed replica had caught up.
fn kills(history: &[Line]) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let mut killed_at = None;
    for line in history {
        match line {
            Line::Fault { at_us, fault: Fault::Killed { .. } } => killed_at = Some(*at_us),
            Line::Fault { at_us, fault: Fault::CaughtUp { .. } } => {
                found.extend(killed_at.take().map(|from| (from, *at_us)));
            }
            _ => {}
        }
    }
    found
}

/// The longest time between two acknowledged writes, of which one comes after `from` and the other before `to`.
fn longest_gap_us(acknowledged: &[u64], from: u64, to: u64) -> u64 {
    let pairs = acknowledged.windows(2).filter(|pair| pair[1] > from && pair[0] < to);
    let longest = pairs.map(|pair| pair[1] - pair[0]).max();
    // Nothing came after the kill: the gap has no end.
    match acknowledged.last() {
        Some(last) if *last > from => longest.unwrap_or(0),
        _ => u64::MAX,
    }
}

/// By the nearest rank; 0 of nothing.
fn quantile(sorted: &[u64], q: f64) -> u64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader_kills::history::Key;

    #[test]
    fn gaps_are_between_acknowledgements_around_the_fault() {
        let acknowledged = [0, 100, 1_100, 1_200, 5_000, 5_100];
        assert_eq!(longest_gap_us(&acknowledged, 150, 1_150), 1_000);
        // A second stumble, while the killed replica comes back, counts too.
        assert_eq!(longest_gap_us(&acknowledged, 150, 1_250), 3_800);
        assert_eq!(longest_gap_us(&acknowledged, 6_000, 7_000), u64::MAX);
        assert_eq!(longest_gap_us(&[], 1, 2), u64::MAX);
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|q| quantile(&hundred, q)), [50, 99, 100]);
        assert_eq!(quantile(&[7], 0.5), 7);
        assert_eq!(quantile(&[], 0.5), 0);
    }

    #[test]
    fn a_history_gives_rates_gaps_and_failures() {
        let key = Key { writer: 0, number: 0 };
        let op = |op, at_us, answer| {
            [
                Line::Invoke { op, at_us, replica: 0, call: Call::Create { key } },
                Line::Return { op, at_us: at_us + 10, answer },
            ]
        };
        let created = || Answer::Created { id: "a".to_owned() };
        let fault = |at_us, fault| [Line::Fault { at_us, fault }];
        let lines: Vec<Line> = [
            &op(1, 0, created())[..],
            &fault(100, Fault::Killed { replica: 0 }),
            &op(2, 200, Answer::Unknown { code: "Unavailable".to_owned() }),
            &op(3, 3_000_000, created()),
            &fault(3_500_000, Fault::CaughtUp { replica: 0 }),
            &fault(3_600_000, Fault::PowerCut { dropped_bytes: 5 }),
            &fault(4_000_000, Fault::LoadEnded),
        ]
        .concat();
        let figures = Figures::of(&lines);
        assert_eq!((figures.leader_kills, figures.power_cuts, figures.dropped_bytes), (1, 1, 5));
        assert_eq!(figures.write_gaps_ms, [3_000]);
        assert_eq!((figures.successes, figures.seconds), (2, 4.0));
        assert_eq!(figures.failures_by_code, BTreeMap::from([("Unavailable".to_owned(), 1)]));
        assert_eq!(figures.shortfalls().len(), 2);
    }
}
