//! What a run leaves behind, and the checker's view of it.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Deserialize;
use steeple_testkit::Server;

use super::judge::Verdict;
use crate::out_dir::out_dir;

/// Files of a run; the next one overwrites them.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    dir: PathBuf,
    pub(super) history: PathBuf,
    pub(super) report: PathBuf,
}

/// What the checker is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checking {
    /// Answers, rates and gaps, as a table.
    Whole,
    /// Answers only, in one line.
    Answers,
}

/// What is read of a report.
#[derive(Deserialize)]
struct Judged {
    verdict: Verdict,
}

impl Kept {
    /// In `dir`, or beside the folder of this program.
    pub(super) fn new(dir: Option<PathBuf>) -> anyhow::Result<Self> {
        let dir = out_dir(dir, "leader-kills")?;
        Ok(Self { history: dir.join("history.jsonl"), report: dir.join("report.json"), dir })
    }

    /// Files beside these, for a history that was tampered with.
    pub(super) fn tampered(&self) -> Self {
        let file = |name| self.dir.join(name);
        Self { history: file("history.tampered.jsonl"), report: file("report.tampered.json"), dir: self.dir.clone() }
    }

    pub(super) fn copy_logs(&self, servers: &[Server]) -> anyhow::Result<()> {
        for server in servers {
            let log = self.dir.join(format!("{}.log", server.name()));
            std::fs::copy(server.log(), &log).with_context(|| format!("cannot keep {}", log.display()))?;
        }
        Ok(())
    }

    /// Whether the checker is content. It is this program again, as a process of its own that is told nothing but the
    /// files and the sockets.
    pub(super) async fn check(&self, sockets: &[PathBuf], checking: Checking) -> anyhow::Result<bool> {
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        command.arg("check").arg("--history").arg(&self.history).arg("--report").arg(&self.report);
        for socket in sockets {
            command.arg("--replica").arg(socket);
        }
        if checking == Checking::Answers {
            command.arg("--answers-only");
        }
        Ok(command.kill_on_drop(true).status().await.context("the checker")?.success())
    }

    /// What the checker found. A checker that did not come to a verdict is an error.
    pub(super) async fn judged(&self, sockets: &[PathBuf]) -> anyhow::Result<Verdict> {
        // Of an earlier check.
        let _ = std::fs::remove_file(&self.report);
        self.check(sockets, Checking::Answers).await?;
        let report = std::fs::File::open(&self.report).context("the checker came to no verdict")?;
        let judged: Judged = serde_json::from_reader(report).context(self.report.display().to_string())?;
        Ok(judged.verdict)
    }
}
