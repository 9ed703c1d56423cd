//! What clients did and what they were told, one JSON object a line, in the order of time.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::journal::Journal;

/// Names an entry: no two keys have the same SPIFFE ID, and a retry has the key of what it repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) writer: u32,
    pub(super) number: u32,
}

/// Entries of a writer under one parent, which is what a list asks for.
pub(super) const BLOCK_KEYS: u32 = 64;

/// Times are microseconds since the run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    /// Written before the call is sent.
    Invoke {
        op: u64,
        at_us: u64,
        replica: usize,
        call: Call,
    },
    Return {
        op: u64,
        at_us: u64,
        answer: Answer,
    },
    Fault {
        at_us: u64,
        fault: Fault,
    },
    /// What a replica said of its state.
    Sample {
        at_us: u64,
        replica: usize,
        applied_index: u64,
        state_hash: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub(super) enum Call {
    Create { key: Key },
    Delete { key: Key, id: String },
    List { writer: u32, block: u32 },
    SignX509 { subject: String },
    SignJwt { subject: String },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(super) enum Answer {
    Created {
        id: String,
    },
    /// A create that found its entry there.
    Existed {
        id: String,
    },
    Deleted,
    NotFound,
    /// Numbers of the keys, in the order of the answer.
    Listed {
        numbers: Vec<u32>,
    },
    Signed {
        serial: Option<String>,
    },
    /// Nothing was done.
    Refused {
        code: String,
    },
    /// It may or may not have been done, or may still be.
    Unknown {
        code: String,
    },
    /// An answer that no correct server gives.
    Wrong {
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub(super) enum Fault {
    Killed {
        replica: usize,
    },
    /// Another replica leads.
    Led {
        replica: usize,
    },
    /// The killed replica is back and has applied what was known then.
    CaughtUp {
        replica: usize,
    },
    PowerCut {
        dropped_bytes: u64,
    },
    PowerBack,
    /// No call is sent after this.
    LoadEnded,
}

impl Key {
    pub(super) fn block(self) -> u32 {
        self.number / BLOCK_KEYS
    }

    /// The path of its SPIFFE ID.
    pub(super) fn path(self) -> String {
        format!("/load/{}/{}", self.writer, self.number)
    }

    /// The inverse of [`Key::path`].
    pub(super) fn of_path(path: &str) -> Option<Self> {
        let (writer, number) = path.strip_prefix("/load/")?.split_once('/')?;
        Some(Self { writer: writer.parse().ok()?, number: number.parse().ok()? })
    }
}

impl Call {
    pub(super) fn is_write(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Delete { .. })
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        use Answer::{Created, Deleted, Existed, Listed, Signed};
        matches!(self, Created { .. } | Existed { .. } | Deleted | Listed { .. } | Signed { .. })
    }
}

/// Writes the history and counts what succeeds.
pub(super) struct Recorder {
    counts: Counts,
    journal: Journal,
}

impl Recorder {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        Ok(Self { counts: Counts::default(), journal: Journal::create(path)? })
    }

    /// Writes the call down, carries it out, writes the answer down.
    pub(super) async fn record(
        &self,
        replica: usize,
        call: Call,
        carry_out: impl Future<Output = Answer>,
    ) -> anyhow::Result<Answer> {
        let op = self.counts.next_operation();
        let writes = call.is_write();
        self.journal.write(|at_us| Line::Invoke { op, at_us, replica, call })?;
        let answer = carry_out.await;
        self.journal.write(|at_us| Line::Return { op, at_us, answer: answer.clone() })?;
        if answer.is_success() {
            self.counts.succeeded(writes);
        }
        Ok(answer)
    }

    pub(super) fn fault(&self, fault: Fault) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::Fault { at_us, fault })
    }

    pub(super) fn sample(&self, replica: usize, applied_index: u64, state_hash: String) -> anyhow::Result<()> {
        self.journal.write(|at_us| Line::Sample { at_us, replica, applied_index, state_hash })
    }

    pub(super) fn successes(&self) -> u64 {
        self.counts.successes()
    }

    pub(super) fn acknowledged_writes(&self) -> u64 {
        self.counts.acknowledged_writes()
    }

    /// Waits until one more write is acknowledged.
    pub(super) async fn acknowledgement(&self) {
        self.counts.acknowledgements(1).await;
    }

    pub(super) fn flush(&self) -> anyhow::Result<()> {
        self.journal.flush()
    }
}
