//! Chores that build the programs and then run one of the project's own tools on them.

use anyhow::Result;

use crate::cargo;

/// Three replicas, two agents, a workload, and the leader killed.
pub fn demo(arguments: &[String]) -> Result<()> {
    build(&[])?;
    tool("steeple-chaos", "demo", &[], arguments)
}

/// The leader killed again and again under load.
pub fn chaos(arguments: &[String]) -> Result<()> {
    build(&[])?;
    tool("steeple-chaos", "leader-kills", &[], arguments)
}

/// Figures are quoted of the programs that people run, so these are built for release.
pub fn bench(arguments: &[String]) -> Result<()> {
    build(RELEASE)?;
    tool("steeple-loadtest", "figures", RELEASE, arguments)
}

/// The tools look for the programs beside themselves.
fn build(profile: &[&str]) -> Result<()> {
    let packages = ["build", "--quiet", "-p", "steeple-server-raft", "-p", "steeple-agent"];
    cargo::run(&[&packages[..], profile].concat())
}

fn tool(package: &str, program: &str, profile: &[&str], arguments: &[String]) -> Result<()> {
    let run = ["run", "--quiet", "-p", package, "--bin", program];
    let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
    cargo::run(&[&run[..], profile, &["--"], &given].concat())
}

const RELEASE: &[&str] = &["--release"];
