//! `simulate`: many seeds, or one.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use steeple_simulation::campaign::{self, Campaign, FOUND, STALL_MAX};
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
    match work(Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FOUND),
        Err(error) => {
            eprintln!("simulate: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Returns how many seeds found something.
fn work(options: Options) -> anyhow::Result<u64> {
    if let Some(seed) = options.seed {
        tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(std::io::stderr).init();
        let hangs = |verdict: &Verdict| print(verdict).unwrap_or_else(|error| eprintln!("simulate: {error:#}"));
        let verdict = campaign::single(seed, run, STALL_MAX, &hangs)?;
        print(&verdict)?;
        return Ok(u64::from(!verdict.passed()));
    }
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let campaign = Campaign {
        first: options.first,
        seeds: options.seeds,
        jobs: options.jobs.unwrap_or_else(cores),
        until_found: options.until_found,
        out: options.out,
        stall_max: STALL_MAX,
        run,
    };
    campaign.carry_out()
}

/// What was to happen, and what came of it.
fn print(verdict: &Verdict) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(&Plan::of(verdict.seed))?);
    println!("{}", serde_json::to_string_pretty(verdict)?);
    Ok(())
}
