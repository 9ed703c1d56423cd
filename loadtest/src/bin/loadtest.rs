//! `loadtest`: load on SPIRE-compatible servers. Ends with 0 if everything that was checked held.

use std::process::ExitCode;

use clap::Parser as _;
use steeple_loadtest::cli::{Cli, dashed, run};
use steeple_testkit::until_interrupted;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse_from(dashed(std::env::args()));
    match until_interrupted(run(cli)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nloadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}
