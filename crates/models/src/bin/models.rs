//! Checks every model in all of its states, and that each planted fault is found.

use std::process::ExitCode;

use clap::Parser;
use steeple_models::ban::Bans;
use steeple_models::join_token::JoinToken;
use steeple_models::node_id::NodeIds;
use steeple_models::rotation::Rotation;
use steeple_models::{Found, Report, Scenario, check, hunt};

/// Checks every model in all of its states, and that each planted fault is found.
#[derive(Parser)]
struct Arguments {
    /// Prints the shortest way to each situation
    #[arg(long)]
    ways: bool,
    /// Only the models whose names hold the word
    model: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    println!("{:<12} {:>9} {:>10} {:>6} {:>10} {:>8}", "model", "states", "steps", "depth", "snapshots", "seconds");
    let good = [
        run::<JoinToken>(&arguments),
        run::<Bans>(&arguments),
        run::<Rotation>(&arguments),
        run::<NodeIds>(&arguments),
    ];
    if good.into_iter().all(|good| good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether all is as it should be.
fn run<S>(arguments: &Arguments) -> bool
where
    S: Scenario + Send + Sync + 'static,
    S::State: Send + Sync,
{
    if arguments.model.as_ref().is_some_and(|word| !S::NAME.contains(word.as_str())) {
        return true;
    }
    let report = check::<S>();
    let Report { name, states, steps, depth, snapshots, .. } = report;
    let seconds = report.took.as_secs_f64();
    println!("{name:<12} {states:>9} {steps:>10} {depth:>6} {snapshots:>10} {seconds:>8.1}");
    report.broken.iter().for_each(|found| tell("broken", found));
    report.unreached.iter().for_each(|situation| println!("  never reached: {situation}"));
    if arguments.ways {
        report.reached.iter().for_each(|found| tell("reached", found));
    }
    let mut found_all = true;
    for mutant in S::MUTANTS {
        match hunt::<S>(mutant) {
            Some(found) if arguments.ways => tell(&format!("{:?}", mutant.fault), &found),
            Some(_) => {}
            None => {
                println!("  not found: {mutant}");
                found_all = false;
            }
        }
    }
    println!("  {} planted faults, {}", S::MUTANTS.len(), if found_all { "each found" } else { "not all found" });
    report.is_good() && found_all
}

fn tell(what: &str, found: &Found) {
    println!("  {what}: {}", found.property);
    found.way.iter().for_each(|action| println!("    {action}"));
}
