//! What came of the seeds, in a file and on the terminal.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use parking_lot::{Mutex, MutexGuard};

use crate::Verdict;

pub(super) struct Report {
    begun: Instant,
    wanted: u64,
    /// Seeds that were run before, and whether they passed.
    done: BTreeMap<u64, bool>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<std::fs::File>,
    run: u64,
    failed: u64,
    counts: BTreeMap<String, u64>,
    simulated_secs: u64,
}

impl Report {
    pub(super) fn new(wanted: u64, out: Option<&Path>) -> anyhow::Result<Self> {
        let mut done = BTreeMap::new();
        let mut file = None;
        if let Some(path) = out {
            for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
                let line: serde_json::Value = serde_json::from_str(line)?;
                if let Some(seed) = line["seed"].as_u64() {
                    done.insert(seed, line["finding"].is_null());
                }
            }
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
            file = Some(opened.with_context(|| path.display().to_string())?);
        }
        let state = State { file, ..State::default() };
        Ok(Self { begun: Instant::now(), wanted, done, state: Mutex::new(state) })
    }

    pub(super) fn has(&self, seed: u64) -> bool {
        self.done.contains_key(&seed)
    }

    pub(super) fn has_findings(&self) -> bool {
        self.state.lock().failed > 0
    }

    pub(super) fn add(&self, verdict: &Verdict) -> anyhow::Result<()> {
        let mut state = self.state.lock();
        state.run += 1;
        state.simulated_secs += verdict.elapsed.as_secs();
        for (name, count) in verdict.faults.iter().chain(&verdict.calls).chain(&verdict.seen) {
            *state.counts.entry((*name).to_owned()).or_default() += count;
        }
        if let Some(finding) = &verdict.finding {
            state.failed += 1;
            eprintln!(
                "\rseed {}: {} at {:.3} s: {}",
                verdict.seed,
                finding.rule,
                finding.at.as_secs_f64(),
                finding.text
            );
        }
        if let Some(file) = &mut state.file {
            writeln!(file, "{}", serde_json::to_string(verdict)?)?;
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r{} of {} seeds, {} with findings", state.run, self.wanted, state.failed);
        }
        Ok(())
    }

    /// Of all seeds, those of earlier times too.
    pub(super) fn findings(&self) -> u64 {
        self.findings_beside(&self.state.lock())
    }

    pub(super) fn print(&self) {
        let state = self.state.lock();
        println!(
            "{} seeds, {} of them now in {:.0} s, {} s of simulated time; {} with findings",
            self.done.len() as u64 + state.run,
            state.run,
            self.begun.elapsed().as_secs_f64(),
            state.simulated_secs,
            self.findings_beside(&state)
        );
        for (name, count) in &state.counts {
            println!("  {name:<32} {count:>10}");
        }
    }

    /// Nothing is added any more: whoever tries waits.
    pub(super) fn close(&self) {
        let _: &mut State = MutexGuard::leak(self.state.lock());
    }

    fn findings_beside(&self, state: &State) -> u64 {
        state.failed + self.done.values().filter(|passed| !**passed).count() as u64
    }
}
