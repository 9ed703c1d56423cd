//! `simulate`: many seeds, a few at a time, and what came of them.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use parking_lot::Mutex;
use steeple_simulation::{Plan, Verdict, run};

/// Runs whole clusters, one for each seed, on simulated networks, disks and clocks. Exits with 1 if anything was found.
#[derive(Parser)]
#[command(name = "simulate")]
struct Options {
    /// How many seeds, from the first one on.
    #[arg(long, default_value_t = 50)]
    seeds: u64,
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// This one alone, with the log of its servers on standard error.
    #[arg(long, conflicts_with_all = ["seeds", "first", "out"])]
    seed: Option<u64>,
    /// Ends at the first finding, as for a mutant.
    #[arg(long)]
    until_found: bool,
    /// Seeds at a time; as many as there are cores unless told otherwise.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// One line of JSON for each seed is added to this file, and seeds that stand there already are not run again.
    /// Where something was found, the log of the servers stays beside it: no two runs of a seed are equal.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match work(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns how many seeds found something.
fn work(options: &Options) -> anyhow::Result<u64> {
    if let Some(seed) = options.seed {
        tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(std::io::stderr).init();
        let verdict = of_seed(seed)?;
        println!("{}", serde_json::to_string_pretty(&Plan::of(seed))?);
        println!("{}", serde_json::to_string_pretty(&verdict)?);
        return Ok(u64::from(!verdict.passed()));
    }
    let report = Report::new(options)?;
    let next = AtomicU64::new(options.first);
    let end = options.first.saturating_add(options.seeds);
    let jobs = options.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Relaxed);
                        if seed >= end || options.until_found && report.has_findings() {
                            return anyhow::Ok(());
                        }
                        if !report.has(seed) {
                            report.add(&with_log(seed, options.out.as_deref())?)?;
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| anyhow::bail!("a worker panicked")))
    })?;
    Ok(report.finish())
}

/// The log is kept as `OUT.seed-N.log` if something was found.
fn with_log(seed: u64, out: Option<&Path>) -> anyhow::Result<Verdict> {
    let Some(out) = out else { return of_seed(seed) };
    let path = PathBuf::from(format!("{}.seed-{seed}.log", out.display()));
    let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
    let log = log.with_writer(std::sync::Mutex::new(std::io::BufWriter::new(file)));
    // A cluster lives on the thread that asks for it.
    let verdict = tracing::subscriber::with_default(log.finish(), || of_seed(seed))?;
    if verdict.passed() {
        std::fs::remove_file(&path)?;
    }
    Ok(verdict)
}

fn of_seed(seed: u64) -> anyhow::Result<Verdict> {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }?;
    run(&Plan::of(seed), dir.path()).with_context(|| format!("seed {seed}"))
}

struct Report {
    begun: Instant,
    wanted: u64,
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
    fn new(options: &Options) -> anyhow::Result<Self> {
        let mut done = BTreeMap::new();
        let mut file = None;
        if let Some(path) = &options.out {
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
        Ok(Self { begun: Instant::now(), wanted: options.seeds, done, state: Mutex::new(state) })
    }

    fn has(&self, seed: u64) -> bool {
        self.done.contains_key(&seed)
    }

    fn has_findings(&self) -> bool {
        self.state.lock().failed > 0
    }

    fn add(&self, verdict: &Verdict) -> anyhow::Result<()> {
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

    fn finish(&self) -> u64 {
        let state = self.state.lock();
        let before = self.done.values().filter(|passed| !**passed).count() as u64;
        println!(
            "{} seeds, {} of them now in {:.0} s, {} s of simulated time; {} with findings",
            self.done.len() as u64 + state.run,
            state.run,
            self.begun.elapsed().as_secs_f64(),
            state.simulated_secs,
            state.failed + before
        );
        for (name, count) in &state.counts {
            println!("  {name:<32} {count:>10}");
        }
        state.failed + before
    }
}
