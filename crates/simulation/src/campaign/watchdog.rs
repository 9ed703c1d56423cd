//! A run that hangs. Its thread is blocked inside a server, and nothing stops a thread: what is known is written down,
//! and the process ends.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::FOUND;
use super::log::Log;
use crate::{Finding, Progress, Verdict};

pub(super) struct Watchdog<'a> {
    stall_max: Duration,
    under_way: Mutex<Vec<Arc<UnderWay>>>,
    /// Puts it on record, and keeps others from doing so from then on.
    hangs: &'a (dyn Fn(&Verdict) + Sync),
}

/// A seed whose run has begun.
pub(super) struct UnderWay {
    seed: u64,
    dir: PathBuf,
    log: Option<Log>,
    progress: Progress,
    /// The steps that were done at the last look that found another number, and when that was.
    seen: Mutex<(u64, Instant)>,
}

/// While this lives, the run is watched.
pub(super) struct Watched<'a> {
    under_way: &'a Mutex<Vec<Arc<UnderWay>>>,
    run: Arc<UnderWay>,
}

/// What a hang violates.
const RULE: &str = "progress";
/// A hang is noticed late by at most this part of the bound.
const LOOKS: u32 = 20;

impl<'a> Watchdog<'a> {
    pub(super) fn new(stall_max: Duration, hangs: &'a (dyn Fn(&Verdict) + Sync)) -> Self {
        Self { stall_max, under_way: Mutex::default(), hangs }
    }

    pub(super) fn begin(&self, run: Arc<UnderWay>) -> Watched<'_> {
        self.under_way.lock().push(Arc::clone(&run));
        Watched { under_way: &self.under_way, run }
    }

    /// Looks until the other end of `until_over` is gone.
    pub(super) fn watch(&self, until_over: Receiver<()>) {
        while until_over.recv_timeout(self.stall_max / LOOKS) == Err(RecvTimeoutError::Timeout) {
            let under_way = self.under_way.lock().clone();
            if let Some(hung) = under_way.iter().find(|run| run.stalled() > self.stall_max) {
                self.end(hung, &under_way);
            }
        }
    }

    fn end(&self, hung: &UnderWay, under_way: &[Arc<UnderWay>]) -> ! {
        if let Some(log) = &hung.log {
            log.flush();
        }
        (self.hangs)(&hung.verdict());
        // Nobody else tells anything any more: what now goes wrong for want of a disk is no finding.
        for run in under_way {
            let _ = std::fs::remove_dir_all(&run.dir);
            if let Some(log) = run.log.as_ref().filter(|_| run.seed != hung.seed) {
                let _ = log.remove();
            }
        }
        // An exit in order would wait for RocksDB's threads, which may be what hangs. Another program in the place of
        // this one waits for nobody.
        let error = Command::new("false").exec();
        eprintln!("simulate: false: {error}");
        std::process::exit(i32::from(FOUND))
    }
}

impl UnderWay {
    pub(super) fn new(seed: u64, dir: &Path, log: Option<Log>) -> Self {
        let seen = Mutex::new((0, Instant::now()));
        Self { seed, dir: dir.to_owned(), log, progress: Progress::default(), seen }
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// For how long there was no step.
    fn stalled(&self) -> Duration {
        let steps = self.progress.steps();
        let mut seen = self.seen.lock();
        if seen.0 != steps {
            *seen = (steps, Instant::now());
        }
        seen.1.elapsed()
    }

    fn verdict(&self) -> Verdict {
        let (elapsed, steps) = (self.progress.elapsed(), self.progress.steps());
        let text = format!("no step in {} s of real time: it hangs after step {steps}", self.stalled().as_secs());
        let finding = Finding { at: elapsed, rule: RULE, text };
        Verdict { seed: self.seed, finding: Some(finding), elapsed, ..Verdict::default() }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.under_way.lock().retain(|run| run.seed != self.run.seed);
    }
}
