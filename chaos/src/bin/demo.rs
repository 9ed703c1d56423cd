//! `demo`: the product in half a minute. Ends with 0 if every step succeeded.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use steeple_chaos::demo;
use steeple_testkit::until_interrupted;

#[derive(Parser)]
#[command(about = "Three replicas, two agents, a workload, and the leader killed", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The workload that the demonstration starts: a TLS server and a client, each with the identity that its agent
    /// gives it. Prints events, one JSON object a line.
    #[command(hide = true)]
    Workload(demo::WorkloadArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Workload(args)) => demo::run_workload(args).await,
        None => until_interrupted(demo::run()).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
