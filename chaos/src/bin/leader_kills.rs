//! `leader-kills`: kills the leader again and again under load. Ends with 0 if nothing was lost and gaps were short.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use steeple_chaos::leader_kills::{CheckArgs, RunArgs, check, run};
use steeple_testkit::until_interrupted;

#[derive(Parser)]
#[command(about = "Kills the leader under load and checks that nothing acknowledged is lost", version)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Judges a history by what the replicas hold; a run calls it at its end.
    Check(CheckArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Some(Command::Check(args)) => check(args).await,
        None => until_interrupted(run(cli.run)).await.map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("leader-kills: {error:#}");
            ExitCode::FAILURE
        }
    }
}
