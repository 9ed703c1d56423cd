//! What clients did and what they were told, and what was done to the replicas meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::model::{Call, Outcome, Value};
use crate::counts::Counts;
use crate::journal::Journal;

/// A line of the file. Times are microseconds since the run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(crate) enum Line {
    /// Written before the call is sent.
    Invoke {
        op: u64,
        at_us: u64,
        replica: usize,
        register: u32,
        call: Call,
    },
    Return {
        op: u64,
        at_us: u64,
        answer: Answer,
    },
    /// A fault begins.
    Fault {
        at_us: u64,
        fault: String,
    },
    /// It is undone, and all replicas hold what was acknowledged by then. `evidence` says how it was seen to happen.
    Healed {
        at_us: u64,
        fault: String,
        evidence: String,
    },
    /// What a replica said of its state.
    Sample {
        at_us: u64,
        replica: usize,
        applied_index: u64,
        state_hash: String,
    },
    /// A workload was sent an SVID with its bundle. Authorities are named by their keys, in hex.
    Shown {
        at_us: u64,
        workload: usize,
        issuer: String,
        authorities: Vec<String>,
    },
    /// A workload was given another JWT-SVID, or other keys, than before. Keys are named by their ids.
    ShownToken {
        at_us: u64,
        workload: usize,
        issuer: String,
        authorities: Vec<String>,
    },
    BackupBegan {
        at_us: u64,
    },
    BackupEnded {
        at_us: u64,
    },
    /// All replicas are dead and their disks are empty: what follows is another cluster.
    Wiped {
        at_us: u64,
    },
    /// What that cluster holds, which came from the backup.
    Restored {
        at_us: u64,
        registers: Vec<(u32, Value)>,
    },
    /// What a workload or a rotation found to be wrong.
    Violation {
        at_us: u64,
        what: String,
    },
    /// No call is sent after this.
    LoadEnded {
        at_us: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Answer {
    Told {
        outcome: Outcome,
    },
    /// Nothing was done.
    Refused {
        code: String,
    },
    /// It may or may not have been done, or may still be.
    Open {
        code: String,
    },
    /// An answer that no correct server gives.
    Wrong {
        reason: String,
    },
}

/// Writes the history.
pub(crate) struct Recorder {
    counts: Counts,
    journal: Journal,
}

impl Recorder {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { counts: Counts::default(), journal: Journal::create(path)? })
    }

    /// Writes the call down, carries it out, writes the answer down.
    pub(super) async fn record(
        &self,
        replica: usize,
        register: u32,
        call: Call,
        carry_out: impl Future<Output = Answer>,
    ) -> anyhow::Result<Answer> {
        let op = self.counts.next_operation();
        self.journal.write(|at_us| Line::Invoke { op, at_us, replica, register, call })?;
        let answer = carry_out.await;
        self.journal.write(|at_us| Line::Return { op, at_us, answer: answer.clone() })?;
        if let Answer::Told { outcome } = answer {
            self.counts.succeeded(call.is_write() && outcome == Outcome::Done);
        }
        Ok(answer)
    }

    pub(crate) fn fault(&self, fault: &str) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::Fault { at_us, fault: fault.to_owned() })
    }

    pub(crate) fn healed(&self, fault: &str, evidence: &str) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::Healed { at_us, fault: fault.to_owned(), evidence: evidence.to_owned() })
    }

    pub(crate) fn violation(&self, what: &str) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::Violation { at_us, what: what.to_owned() })
    }

    pub(crate) fn sample(&self, replica: usize, applied_index: u64, state_hash: String) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::Sample { at_us, replica, applied_index, state_hash })
    }

    pub(crate) fn shown(&self, workload: usize, issuer: String, authorities: Vec<String>) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::Shown { at_us, workload, issuer, authorities })
    }

    pub(crate) fn shown_token(&self, workload: usize, issuer: String, authorities: Vec<String>) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::ShownToken { at_us, workload, issuer, authorities })
    }

    pub(crate) fn backup_began(&self) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::BackupBegan { at_us })
    }

    pub(crate) fn backup_ended(&self) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::BackupEnded { at_us })
    }

    pub(crate) fn wiped(&self) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::Wiped { at_us })
    }

    pub(crate) fn restored(&self, registers: &BTreeMap<u32, Value>) -> anyhow::Result<()> {
        let registers: Vec<(u32, Value)> = registers.iter().map(|(number, value)| (*number, *value)).collect();
        self.journal.write(|at_us| Line::Restored { at_us, registers })
    }

    pub(crate) fn load_ended(&self) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::LoadEnded { at_us })
    }

    /// Nothing is written after this.
    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        self.journal.flush()
    }

    pub(crate) fn successes(&self) -> u64 {
        self.counts.successes()
    }

    /// Waits until `count` more writes are acknowledged; false if that takes longer than `limit`.
    pub(crate) async fn acknowledgements(&self, count: u64, limit: Duration) -> bool {
        timeout(limit, self.counts.acknowledgements(count)).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        let recorder = Recorder::create(&path).unwrap();
        recorder.shown(1, "a".to_owned(), vec!["a".to_owned(), "b".to_owned()]).unwrap();
        recorder.backup_began().unwrap();
        recorder.restored(&BTreeMap::from([(3, 30)])).unwrap();
        recorder.flush().unwrap();
        let lines: Vec<Line> = crate::journal::read(&path).unwrap();
        assert!(matches!(&lines[0], Line::Shown { workload: 1, authorities, .. } if authorities.len() == 2));
        assert!(matches!(&lines[2], Line::Restored { registers, .. } if *registers == [(3, 30)]));
    }
}
