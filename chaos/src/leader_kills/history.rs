//! What clients did and what they were told, one JSON object a line, in the order of time.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};

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
    began: Instant,
    next_op: AtomicU64,
    successes: AtomicU64,
    acknowledged_writes: watch::Sender<u64>,
    file: Mutex<BufWriter<File>>,
}

impl Recorder {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            began: Instant::now(),
            next_op: AtomicU64::new(0),
            successes: AtomicU64::new(0),
            acknowledged_writes: watch::Sender::new(0),
            file: Mutex::new(BufWriter::new(file)),
        })
    }

    /// Writes the call down, carries it out, writes the answer down.
    pub(super) async fn record(
        &self,
        replica: usize,
        call: Call,
        carry_out: impl Future<Output = Answer>,
    ) -> anyhow::Result<Answer> {
        let op = self.next_op.fetch_add(1, Ordering::Relaxed);
        let writes = call.is_write();
        self.write(|at_us| Line::Invoke { op, at_us, replica, call })?;
        let answer = carry_out.await;
        self.write(|at_us| Line::Return { op, at_us, answer: answer.clone() })?;
        if answer.is_success() {
            self.successes.fetch_add(1, Ordering::Relaxed);
            self.acknowledged_writes.send_if_modified(|count| {
                *count += u64::from(writes);
                writes
            });
        }
        Ok(answer)
    }

    pub(super) fn fault(&self, fault: Fault) -> anyhow::Result<()> {
        self.write(|at_us| Line::Fault { at_us, fault })
    }

    pub(super) fn sample(&self, replica: usize, applied_index: u64, state_hash: String) -> anyhow::Result<()> {
        self.write(|at_us| Line::Sample { at_us, replica, applied_index, state_hash })
    }

    pub(super) fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    pub(super) fn acknowledged_writes(&self) -> u64 {
        *self.acknowledged_writes.borrow()
    }

    /// Waits until one more write is acknowledged.
    pub(super) async fn acknowledgement(&self) {
        // The sender is ours, so that there is always an answer.
        let _ = self.acknowledged_writes.subscribe().changed().await;
    }

    pub(super) fn flush(&self) -> anyhow::Result<()> {
        Ok(self.file.lock().map_err(|_| poisoned())?.flush()?)
    }

    /// The time is taken under the lock, so that the lines are in the order of time.
    fn write(&self, line: impl FnOnce(u64) -> Line) -> anyhow::Result<()> {
        let mut file = self.file.lock().map_err(|_| poisoned())?;
        let at_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        serde_json::to_writer(&mut *file, &line(at_us))?;
        Ok(file.write_all(b"\n")?)
    }
}

pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = Vec::new();
    for (at, line) in BufReader::new(file).lines().enumerate() {
        lines.push(serde_json::from_str(&line?).with_context(|| format!("{}, line {}", path.display(), at + 1))?);
    }
    Ok(lines)
}

fn poisoned() -> anyhow::Error {
    anyhow!("a client panicked while it wrote the history")
}
