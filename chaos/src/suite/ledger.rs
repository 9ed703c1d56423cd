//! Rounds that are done, one JSON object a line, so that a long run goes on where it stopped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::journal;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Round {
    /// What was put to the test, as git names it.
    pub(super) commit: String,
    pub(super) seed: u64,
    pub(super) replicas: usize,
    /// Under load.
    pub(super) seconds: f64,
    pub(super) passed: bool,
    /// How often each fault happened.
    pub(super) faults: BTreeMap<String, u64>,
    pub(super) least_slack_ms: Option<i64>,
    /// The raw log, and what it must hash to.
    pub(super) history: String,
    pub(super) history_sha256: String,
}

pub(super) struct Ledger {
    path: PathBuf,
    pub(super) rounds: Vec<Round>,
}

impl Ledger {
    /// Of rounds of this commit in `dir`. Those of another one are forgotten.
    pub(super) fn open(dir: &Path, commit: &str) -> anyhow::Result<Self> {
        let path = dir.join("rounds.jsonl");
        let rounds: Vec<Round> = if path.exists() { journal::read(&path)? } else { Vec::new() };
        let rounds = if rounds.iter().all(|round| round.commit == commit) { rounds } else { Vec::new() };
        let failed = rounds.iter().find(|round| !round.passed);
        ensure!(
            failed.is_none(),
            "a round of this commit has failed already, see {}; move the folder away to begin anew",
            path.display()
        );
        if rounds.is_empty() {
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Self { path, rounds })
    }

    pub(super) fn add(&mut self, round: Round) -> anyhow::Result<()> {
        let mut file = File::options().append(true).open(&self.path)?;
        writeln!(file, "{}", serde_json::to_string(&round)?)?;
        file.sync_all()?;
        self.rounds.push(round);
        Ok(())
    }

    pub(super) fn seconds(&self) -> f64 {
        self.rounds.iter().map(|round| round.seconds).sum()
    }

    /// Of the file that names the hash of every raw log.
    pub(super) fn sha256(&self) -> anyhow::Result<String> {
        sha256(&self.path)
    }
}

/// In hex.
pub(super) fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(commit: &str, passed: bool) -> Round {
        Round {
            commit: commit.to_owned(),
            seed: 1,
            replicas: 3,
            seconds: 30.0,
            passed,
            faults: BTreeMap::new(),
            least_slack_ms: None,
            history: "history-1.jsonl".to_owned(),
            history_sha256: String::new(),
        }
    }

    #[test]
    fn a_run_goes_on_where_it_stopped_unless_the_commit_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path(), "a").unwrap();
        ledger.add(round("a", true)).unwrap();
        let again = Ledger::open(dir.path(), "a").unwrap();
        assert_eq!((again.rounds.len(), again.seconds()), (1, 30.0));
        assert_eq!(again.sha256().unwrap(), ledger.sha256().unwrap());
        assert!(Ledger::open(dir.path(), "b").unwrap().rounds.is_empty());
        assert!(Ledger::open(dir.path(), "a").unwrap().rounds.is_empty(), "they were forgotten");
    }

    #[test]
    fn nothing_goes_on_after_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        Ledger::open(dir.path(), "a").unwrap().add(round("a", false)).unwrap();
        let error = Ledger::open(dir.path(), "a").err().unwrap().to_string();
        assert!(error.contains("has failed already"), "{error}");
    }

    #[test]
    fn hashes_are_those_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(sha256(&path).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
