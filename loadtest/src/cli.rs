//! The command line of `loadtest`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};
use steeple_testkit::NodeCertificateAuthority;

use crate::report::{Comparison, Side, print_report};
use crate::scenario::{Scenario, run as run_scenario};
use crate::target::Options;

/// Drives any SPIRE-compatible server with up to 10,000 simulated agents in one process: identities obtained through
/// x509pop, one mutual TLS connection each, SPIRE's timers. Figures are of a CPU-second of the server, which other work
/// on the machine disturbs least. A gate that does not hold (an SVID that does not verify, a serial twice, a lost
/// write) ends the run with exit code 1.
#[derive(Parser, Debug)]
#[command(name = "loadtest", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    /// How the report is printed on standard output; progress goes to standard error.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Output,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    #[command(flatten)]
    Scenario(Scenario),
    Compare(CompareArgs),
    NodesCa(NodesCaArgs),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    #[default]
    Pretty,
    Json,
}

/// The same scenario against two servers in turns, ABBA: medians, and how many times as good A is.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// A server's program; by default the steeple-server beside this program.
    #[arg(long, value_name = "PATH")]
    pub a: Option<PathBuf>,
    /// The other server's program.
    #[arg(long, value_name = "PATH", env = "STOCK_SPIRE_SERVER")]
    pub b: PathBuf,
    /// Runs of each.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub rounds: u8,
    #[command(subcommand)]
    pub scenario: Scenario,
}

/// Makes a certificate authority for simulated nodes, and says what the configuration of a server needs to trust it.
#[derive(Args, Clone, Debug)]
pub struct NodesCaArgs {
    pub dir: PathBuf,
}

/// Whether every gate held.
pub async fn run(cli: Cli) -> anyhow::Result<bool> {
    match cli.command {
        Command::Scenario(scenario) => {
            let report = run_scenario(&cli.options, &scenario).await?;
            match cli.output {
                Output::Pretty => print_report(&report),
                Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
            }
            Ok(report.passed())
        }
        Command::Compare(args) => {
            let comparison = compare(&cli.options, &args).await?;
            match cli.output {
                Output::Pretty => comparison.print(),
                Output::Json => println!("{}", serde_json::to_string_pretty(&comparison)?),
            }
            Ok(comparison.passed())
        }
        Command::NodesCa(args) => {
            let authority = NodeCertificateAuthority::open(&args.dir)?;
            let root = authority.root_path().canonicalize().context("the root that was just made")?;
            println!("{}", X509POP.replace("ROOT", &root.display().to_string()));
            Ok(true)
        }
    }
}

async fn compare(options: &Options, args: &CompareArgs) -> anyhow::Result<Comparison> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for (turn, side) in Side::turns(args.rounds.into()).enumerate() {
        eprintln!("turn {} of {}: {side:?}", turn + 1, 2 * args.rounds);
        let program = if side == Side::A { args.a.clone() } else { Some(args.b.clone()) };
        let report = run_scenario(&Options { program, ..options.clone() }, &args.scenario).await?;
        if side == Side::A { a.push(report) } else { b.push(report) }
    }
    Ok(Comparison::of(a, b))
}

/// `-output json` is what the server's and the agent's command lines take.
pub fn dashed(args: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    args.map(|arg| if arg.starts_with("-output") { format!("-{arg}") } else { arg })
}

const X509POP: &str = "\
In the server's configuration, for the time of the load:

server {
    ratelimit {
        attestation = false
        signing = false
    }
}
plugins {
    NodeAttestor \"x509pop\" {
        plugin_data {
            ca_bundle_path = \"ROOT\"
        }
    }
}";

const EXAMPLES: &str = "\
Examples:
  loadtest issue                                   X.509-SVIDs of one server of ours, started for it
  loadtest issue --batch 100 --seconds 30          a hundred CSRs in a call
  loadtest --program /opt/spire/bin/spire-server jwt
                                                   the same of SPIRE's server
  loadtest failover --replicas 3                   the leader of three killed
  loadtest compare --b /opt/spire/bin/spire-server --rounds 3 attest
                                                   both in turns, and the ratios
  loadtest --address 127.0.0.1:8081 --admin-socket /run/spire/api.sock --pid 4711 --nodes-ca ./nodes idle
                                                   a server that runs already";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let cli = parse("loadtest issue --agents 3 --batch 100 --output json").unwrap();
        assert_eq!((cli.options.agents, cli.output), (Some(3), Output::Json));
        let cli = parse("loadtest compare --b /x --rounds 1 many-entries --entries 10 --seconds 2").unwrap();
        assert!(matches!(cli.command, Command::Compare(CompareArgs { scenario: Scenario::ManyEntries(_), .. })));
        assert_eq!(cli.options.seconds, Some(2));
        assert!(parse("loadtest issue --address 127.0.0.1:1").is_err(), "the rest of a running server is missing");
        assert!(parse("loadtest issue --replicas 9").is_err());
        assert_eq!(dashed(["-output".to_owned(), "json".to_owned()].into_iter()).next().unwrap(), "--output");
    }
}
