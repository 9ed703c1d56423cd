//! The command line.

use std::path::PathBuf;

use clap::Args;

use crate::signing::Signing;

#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// How many times the leader is killed.
    #[arg(long, default_value_t = 200)]
    pub count: u32,
    /// How many times the power of all replicas is cut afterwards.
    #[arg(long, default_value_t = 5)]
    pub power_cuts: u32,
    /// Chooses the pauses between faults and what the clients do.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Calls a second that the clients attempt, all together.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(10..=2000))]
    pub rate: u32,
    /// Which replicas sign.
    #[arg(long, value_enum, default_value_t)]
    pub signing: Signing,
    /// Where the history and the report are kept; beside the folder of this program by default.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Proves that the run can fail: a history that was tampered with, then servers whose syncs come late.
    #[arg(long)]
    pub self_test: bool,
    /// Replicas whose disk acknowledges each sync before it has happened, as a server that acknowledges before its
    /// flush would look. The run has to fail.
    #[arg(long, hide = true)]
    pub late_syncs: bool,
}

#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// What the clients wrote down.
    #[arg(long)]
    pub history: PathBuf,
    /// The admin socket of a replica; one for each.
    #[arg(long = "replica", required = true)]
    pub replicas: Vec<PathBuf>,
    /// Where the report goes as JSON.
    #[arg(long)]
    pub report: PathBuf,
    /// Judge whether the answers were right, not how fast they came, and print one line.
    #[arg(long)]
    pub answers_only: bool,
}
