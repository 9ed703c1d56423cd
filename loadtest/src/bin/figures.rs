//! `figures`: memory, start and backup, each as the median of several runs.

use std::process::ExitCode;

use clap::{Parser, ValueEnum as _};
use steeple_loadtest::cli::dashed;
use steeple_loadtest::figures::{Measure, Options, Output, measure, print};

#[derive(Parser)]
#[command(about = "Measures the programs beside this one", version)]
struct Cli {
    /// Only these; all by default.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Measure>,
    /// Runs of each, every one on a fresh server.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    runs: u8,
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse_from(dashed(std::env::args()))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let wanted = if cli.only.is_empty() { Measure::value_variants() } else { &cli.only };
    let options = Options { runs: cli.runs.into() };
    let mut figures = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        figures.push(measure(*wanted, options).await?);
    }
    print(&figures, cli.output)
}
