//! `alerts`: every alert rule made to fire in a real Prometheus. Ends with 0 if each was seen.

use std::process::ExitCode;

use clap::Parser;
use steeple_chaos::alerts::{AlertsArgs, run};
use steeple_chaos::suite::set_apart;
use steeple_testkit::until_interrupted;

#[derive(Parser)]
#[command(about = "Makes each alert rule fire in a real Prometheus, sixty times quicker", version)]
struct Cli {
    #[command(flatten)]
    args: AlertsArgs,
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
            eprintln!("alerts: {error:#}");
            ExitCode::FAILURE
        }
    }
}
