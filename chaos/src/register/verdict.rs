//! The verdict over a history: a pure function of its lines.

use std::collections::HashMap;

use serde::Serialize;

use super::history::Line;
use super::linearize::{Answer, SEARCH_MAX, linearize};
use super::operations::Operations;

/// What is wrong, each with what shows it. All empty is what a run is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Registers whose operations fit no order.
    pub(crate) not_linearizable: Vec<String>,
    /// Registers that could not be decided; that is no pass.
    pub(crate) unknown: Vec<String>,
    /// Answers that no correct server gives.
    pub(crate) wrong: Vec<String>,
    /// Replicas that differ at one log index.
    pub(crate) diverged: Vec<String>,
    /// SVIDs that somebody could not verify, authorities that went without leave.
    pub(crate) violations: Vec<String>,
    pub(crate) registers: usize,
    pub(crate) operations: usize,
    /// Pairs of state hashes at one index.
    pub(crate) hashes_compared: usize,
}

impl Verdict {
    pub(crate) fn of(history: &[Line]) -> Self {
        let operations = Operations::of(history);
        let mut verdict = Self {
            registers: operations.by_register.len(),
            operations: operations.by_register.values().map(Vec::len).sum(),
            wrong: operations.wrong,
            ..Self::default()
        };
        for (register, operations) in &operations.by_register {
            let shown = format!("register {register}, {} operations", operations.len());
            match linearize(operations, SEARCH_MAX) {
                Answer::Linearizable => {}
                Answer::NotLinearizable => verdict.not_linearizable.push(shown),
                Answer::Unknown => verdict.unknown.push(shown),
            }
        }
        let mut hashes: HashMap<u64, &str> = HashMap::new();
        for line in history {
            match line {
                Line::Violation { at_us, what } => verdict.violations.push(format!("{what}, at {at_us} us")),
                Line::Sample { replica, applied_index, state_hash, .. } => match hashes.get(applied_index) {
                    None => {
                        hashes.insert(*applied_index, state_hash);
                    }
                    Some(known) => {
                        verdict.hashes_compared += 1;
                        if known != state_hash {
                            let shown = format!("index {applied_index}: {known}, on replica {replica} {state_hash}");
                            verdict.diverged.push(shown);
                        }
                    }
                },
                // Another log begins.
                Line::Wiped { .. } => hashes.clear(),
                _ => {}
            }
        }
        verdict
    }

    /// What was found, by its kind.
    pub(crate) fn findings(&self) -> [(&'static str, &[String]); 5] {
        [
            ("registers that are not linearizable", &self.not_linearizable),
            ("registers that could not be decided", &self.unknown),
            ("answers that no correct server gives", &self.wrong),
            ("state hashes that differ at one index", &self.diverged),
            ("violations of what workloads may rely on", &self.violations),
        ]
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.findings().iter().all(|(_, found)| found.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Answer as Said;
    use super::super::model::{Call, Outcome};
    use super::*;

    fn told(op: u64, at_us: u64, call: Call, outcome: Outcome) -> [Line; 2] {
        [
            Line::Invoke { op, at_us, replica: 0, register: 7, call },
            Line::Return { op, at_us: at_us + 5, answer: Said::Told { outcome } },
        ]
    }

    fn created() -> [Line; 2] {
        told(1, 10, Call::Create { value: 1 }, Outcome::Done)
    }

    #[test]
    fn a_history_of_one_register() {
        let seen = told(2, 20, Call::Get, Outcome::Holds { value: 1 });
        let clean = Verdict::of(&[created(), seen].concat());
        assert!(clean.is_clean());
        assert_eq!((clean.registers, clean.operations), (1, 2));
        let lost = told(2, 20, Call::Get, Outcome::Absent);
        assert_eq!(Verdict::of(&[created(), lost].concat()).not_linearizable.len(), 1);
    }

    /// A create before the backup, an update while it is made, one after it, and what was restored.
    fn restored(registers: &[(u32, u64)]) -> Verdict {
        let updated = |op, at_us, value| told(op, at_us, Call::Update { value }, Outcome::Done);
        let during = [Line::BackupBegan { at_us: 18 }, Line::BackupEnded { at_us: 30 }];
        let after = [
            Line::Sample { at_us: 50, replica: 0, applied_index: 5, state_hash: "a".to_owned() },
            Line::Wiped { at_us: 60 },
            Line::Sample { at_us: 70, replica: 0, applied_index: 5, state_hash: "b".to_owned() },
            Line::Restored { at_us: 80, registers: registers.to_vec() },
        ];
        Verdict::of(&[&created()[..], &updated(2, 20, 2), &during, &updated(3, 40, 3), &after].concat())
    }

    #[test]
    fn a_backup_is_one_read_of_all_at_an_instant_while_it_was_made() {
        assert!(restored(&[(7, 1)]).is_clean(), "before the update");
        assert!(restored(&[(7, 2)]).is_clean(), "behind it");
        assert_eq!(restored(&[(7, 3)]).not_linearizable.len(), 1, "from after the backup");
        assert_eq!(restored(&[]).not_linearizable.len(), 1, "lost");
        assert_eq!(restored(&[(7, 2), (8, 1)]).wrong.len(), 1, "from nowhere");
        assert!(restored(&[(7, 1)]).diverged.is_empty(), "the log of another cluster has its own indexes");
    }

    #[test]
    fn an_open_answer_is_kept_open_and_so_is_a_missing_one() {
        let seen = told(2, 20, Call::Get, Outcome::Holds { value: 1 });
        let [call, _] = created();
        let open = Line::Return { op: 1, at_us: 15, answer: Said::Open { code: "Unavailable".to_owned() } };
        let refused = Line::Return { op: 1, at_us: 15, answer: Said::Refused { code: "Unavailable".to_owned() } };
        assert!(Verdict::of(&[&[call.clone(), open][..], &seen].concat()).is_clean());
        assert!(Verdict::of(&[&[call.clone()][..], &seen].concat()).is_clean());
        assert!(!Verdict::of(&[&[call, refused][..], &seen].concat()).is_clean(), "what was refused was not done");
    }

    #[test]
    fn impossible_answers_differing_hashes_and_violations_count() {
        let [call, _] = created();
        let wrong = Line::Return { op: 1, at_us: 15, answer: Said::Wrong { reason: "Internal".to_owned() } };
        assert_eq!(Verdict::of(&[call, wrong]).wrong.len(), 1);
        let sample = |replica, state_hash: &str| Line::Sample {
            at_us: 1,
            replica,
            applied_index: 5,
            state_hash: state_hash.to_owned(),
        };
        let verdict = Verdict::of(&[sample(0, "a"), sample(1, "a"), sample(2, "b")]);
        assert_eq!((verdict.hashes_compared, verdict.diverged.len()), (2, 1));
        let violation = Line::Violation { at_us: 1, what: "an SVID".to_owned() };
        assert!(!Verdict::of(&[violation]).is_clean());
    }
}
