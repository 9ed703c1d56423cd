//! Targets run for a while, slice after slice, with a tally that survives.
//!
//! ```text
//!   OUT/corpus/TARGET/     inputs that reach something new, kept from run to run
//!   OUT/findings/TARGET-*  inputs that broke a promise
//!   OUT/logs/TARGET.log    what libFuzzer said in the last slice
//!   OUT/tally.json         the figures so far, of one commit
//! ```

mod figures;
mod slice;
mod tally;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

pub use figures::Figures;
use tally::Tally;

use crate::{TARGETS, Target};

/// Tells the engine which target it runs.
pub const TARGET_VARIABLE: &str = "STEEPLE_FUZZ_TARGET";

/// One engine, one directory, one commit.
pub struct Campaign {
    engine: PathBuf,
    out: PathBuf,
    tally: Tally,
}

impl Campaign {
    pub fn open(engine: &Path, out: &Path, commit: &str) -> Result<Self> {
        for folder in ["corpus", "findings", "logs"] {
            let folder = out.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let tally = Tally::open(&out.join("tally.json"), commit)?;
        Ok(Self { engine: engine.to_owned(), out: out.to_owned(), tally })
    }

    /// Until the target has had `seconds` of a processor, or breaks a promise.
    pub fn run(&mut self, target: &Target, seconds: u64) -> Result<()> {
        let corpus = self.out.join("corpus").join(target.name);
        fs::create_dir_all(&corpus)?;
        for (number, input) in target.inputs().iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number}")), input)?;
        }
        loop {
            let figures = self.tally.of(target.name);
            let done = figures.cpu_ms / 1000;
            if done >= seconds || figures.findings > 0 {
                return Ok(());
            }
            let more = slice::run(&self.engine, &self.out, target.name, seconds - done)?;
            self.tally.add(target.name, more)?;
        }
    }

    /// The figures of one target, as a row of the report.
    pub fn line(&self, target: &Target) -> String {
        self.tally.of(target.name).row(target.name)
    }

    /// All targets, also those that were not run, as a table.
    pub fn report(&self) -> String {
        let mut text = format!("Commit {}\n\n{}", self.tally.commit(), Figures::HEAD);
        let mut total = Figures::default();
        for target in TARGETS {
            total += self.tally.of(target.name);
            text += &format!("\n{}", self.line(target));
        }
        text + "\n" + &total.row(&format!("all {}", TARGETS.len()))
    }

    pub fn findings(&self) -> u64 {
        TARGETS.iter().map(|target| self.tally.of(target.name).findings).sum()
    }
}

/// The commit at hand, with `+` where the checkout differs from it.
pub fn commit() -> Result<String> {
    let git = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("git").args(arguments).output().context("running git")?;
        ensure!(output.status.success(), "git {}: {}", arguments.join(" "), output.status);
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(git(&["rev-parse", "--short=12", "HEAD"])? + if changed { "+" } else { "" })
}
