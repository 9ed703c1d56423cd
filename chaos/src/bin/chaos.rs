//! `chaos`: every fault there is, under load. Ends with 0 if no promise was broken and every fault happened.

use std::process::ExitCode;

use clap::Parser;
use steeple_chaos::suite::{SuiteArgs, run, set_apart};
use steeple_testkit::until_interrupted;

#[derive(Parser)]
#[command(about = "Faults of networks, processes, disks and clocks against a cluster under load", version)]
struct Cli {
    #[command(flatten)]
    args: SuiteArgs,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = set_apart().and_then(|()| {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(until_interrupted(run(cli.args)))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}
