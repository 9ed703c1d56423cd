//! Runs the libFuzzer program on target after target, and tells what that amounted to.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use steeple_fuzz::campaign::{Campaign, commit};
use steeple_fuzz::{TARGETS, Target, find};

/// Hostile bytes for every parser that sees the network or a disk. Started again with the same commit it goes on where
/// it stopped.
#[derive(Parser)]
struct Arguments {
    /// The libFuzzer program; `cargo xtask fuzz` builds it and says where it is
    #[arg(long)]
    engine: PathBuf,
    /// Processor seconds that each target gets, earlier runs of this commit included
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Inputs that libFuzzer found, logs, findings and the tally
    #[arg(long)]
    out: Option<PathBuf>,
    /// Names the targets and ends
    #[arg(long)]
    list: bool,
    /// Which targets; all of them without
    targets: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every promise was kept.
fn run(arguments: &Arguments) -> Result<bool> {
    if arguments.list {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return Ok(true);
    }
    let targets = chosen(&arguments.targets)?;
    let out = arguments.out.clone().map_or_else(default_out, Ok)?;
    let mut campaign = Campaign::open(&arguments.engine, &out, &commit()?)?;
    for target in targets {
        campaign.run(target, arguments.seconds)?;
        println!("{}", campaign.line(target));
    }
    println!("\n{}", campaign.report());
    Ok(campaign.findings() == 0)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Target>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    names.iter().map(|name| find(name).with_context(|| format!("no target {name:?}; --list names them"))).collect()
}

/// Beside the build's own cache.
fn default_out() -> Result<PathBuf> {
    let cache = std::env::var_os("STEEPLE_CACHE").filter(|cache| !cache.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/steeple")));
    let cache = cache.context("name a directory with --out: there is neither STEEPLE_CACHE nor HOME")?;
    ensure!(cache.is_absolute(), "STEEPLE_CACHE is no absolute path: {}", cache.display());
    Ok(cache.join("fuzz"))
}
