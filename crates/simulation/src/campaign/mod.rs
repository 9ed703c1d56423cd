//! Many seeds, a few at a time, and what came of them.
//!
//! ```text
//!   worker 1..jobs ── a seed ─▶ run ── every step ─▶ Progress ◀── looks ── Watchdog
//!       └── Verdict ─▶ Report                                                  │ a seed that hangs
//!                         ▲─────────────────── Verdict ────────────────────────┘ and then the process ends
//! ```

mod log;
mod report;
mod watchdog;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;

use crate::{Plan, Progress, Verdict};
use log::Log;
use report::Report;
use watchdog::{UnderWay, Watchdog};

/// What a campaign and a single seed exit with when something was found.
pub const FOUND: u8 = 1;
/// A seed whose run does not get a step further for so long, in real time, hangs. A step is 5 ms of simulated time, and
/// takes milliseconds, on a machine with other work perhaps seconds.
pub const STALL_MAX: Duration = Duration::from_secs(300);

/// Carries out one seed on the thread that calls it, its disks in the directory.
pub type Run = fn(&Plan, &Path, &Progress) -> anyhow::Result<Verdict>;

pub struct Campaign {
    pub first: u64,
    pub seeds: u64,
    pub jobs: NonZeroUsize,
    /// Ends at the first finding.
    pub until_found: bool,
    /// A line of JSON for each seed is added to this file, and seeds that stand there already are not run again. The
    /// log of a seed in which something was found stays beside it, as `FILE.seed-N.log`.
    pub out: Option<PathBuf>,
    /// [`STALL_MAX`].
    pub stall_max: Duration,
    pub run: Run,
}

impl Campaign {
    /// Returns how many seeds found something. When one hangs, this does not return: the process ends with [`FOUND`].
    pub fn carry_out(&self) -> anyhow::Result<u64> {
        let report = Report::new(self.seeds, self.out.as_deref())?;
        let hangs = |verdict: &Verdict| {
            if let Err(error) = report.add(verdict) {
                eprintln!("simulate: {error:#}");
            }
            report.print();
            report.close();
        };
        let watchdog = Watchdog::new(self.stall_max, &hangs);
        let next = AtomicU64::new(self.first);
        let end = self.first.saturating_add(self.seeds);
        std::thread::scope(|scope| {
            let (over, until_over) = mpsc::channel::<()>();
            scope.spawn(|| watchdog.watch(until_over));
            let workers: Vec<_> = (0..self.jobs.get())
                .map(|_| {
                    scope.spawn(|| {
                        loop {
                            let seed = next.fetch_add(1, Relaxed);
                            if seed >= end || self.until_found && report.has_findings() {
                                return anyhow::Ok(());
                            }
                            if !report.has(seed) {
                                report.add(&self.with_log(seed, &watchdog)?)?;
                            }
                        }
                    })
                })
                .collect();
            let mut outcome = Ok(());
            for worker in workers {
                outcome = outcome.and(worker.join().unwrap_or_else(|_| anyhow::bail!("a worker panicked")));
            }
            drop(over);
            outcome
        })?;
        report.print();
        Ok(report.findings())
    }

    /// The log is kept if something was found.
    fn with_log(&self, seed: u64, watchdog: &Watchdog<'_>) -> anyhow::Result<Verdict> {
        let Some(out) = &self.out else { return of_seed(seed, self.run, watchdog, None) };
        let log = Log::create(PathBuf::from(format!("{}.seed-{seed}.log", out.display())))?;
        let written = log.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
        let subscriber = subscriber.with_writer(move || written.clone()).finish();
        let own = log.clone();
        // A cluster lives on the thread that asks for it.
        let run = || of_seed(seed, self.run, watchdog, Some(own));
        let verdict = tracing::subscriber::with_default(subscriber, run)?;
        if verdict.passed() {
            log.remove()?
        } else {
            log.flush()
        }
        Ok(verdict)
    }
}

/// One seed alone, with its log wherever that goes. `hangs` is told of one that hangs, before the process ends.
pub fn single(seed: u64, run: Run, stall_max: Duration, hangs: &(dyn Fn(&Verdict) + Sync)) -> anyhow::Result<Verdict> {
    let watchdog = Watchdog::new(stall_max, hangs);
    std::thread::scope(|scope| {
        let (over, until_over) = mpsc::channel::<()>();
        scope.spawn(|| watchdog.watch(until_over));
        let verdict = of_seed(seed, run, &watchdog, None);
        drop(over);
        verdict
    })
}

fn of_seed(seed: u64, run: Run, watchdog: &Watchdog<'_>, log: Option<Log>) -> anyhow::Result<Verdict> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }?;
    let under_way = Arc::new(UnderWay::new(seed, dir.path(), log));
    let _watched = watchdog.begin(Arc::clone(&under_way));
    run(&Plan::of(seed), dir.path(), under_way.progress()).with_context(|| format!("seed {seed}"))
}
