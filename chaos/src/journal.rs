//! One JSON object a line, in the order of time: what a run writes down while it goes on and what is judged later.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file that is being written. Times are microseconds since it was created.
pub(crate) struct Journal {
    began: Instant,
    file: Mutex<BufWriter<File>>,
}

impl Journal {
    /// Overwrites what is there.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { began: Instant::now(), file: Mutex::new(BufWriter::new(file)) })
    }

    /// The time is taken under the lock, so that the lines are in the order of time.
    pub(crate) fn write<L: Serialize>(&self, line: impl FnOnce(u64) -> L) -> anyhow::Result<()> {
        let mut file = self.file.lock().map_err(|_| poisoned())?;
        let at_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        serde_json::to_writer(&mut *file, &line(at_us))?;
        Ok(file.write_all(b"\n")?)
    }

    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        Ok(self.file.lock().map_err(|_| poisoned())?.flush()?)
    }
}

/// All lines of a file.
pub(crate) fn read<L: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<L>> {
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
