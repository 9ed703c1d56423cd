//! Chores that build the programs and then run one of the project's own tools on them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, checkout};

/// Three replicas, two agents, a workload, and the leader killed.
pub fn demo(arguments: &[String]) -> Result<()> {
    run("demo", Profile::Dev, arguments)
}

/// Every fault once, under load.
pub fn chaos(arguments: &[String]) -> Result<()> {
    run("chaos", Profile::Dev, arguments)
}

/// Round after round, of the programs that people run.
pub fn chaos_long(arguments: &[String]) -> Result<()> {
    let is_bounded = |argument: &String| argument.starts_with("--minutes") || argument.starts_with("--rounds");
    let minutes: &[&str] = if arguments.iter().any(is_bounded) { &[] } else { &["--minutes", "60"] };
    let minutes = minutes.iter().map(|word| (*word).to_owned());
    run("chaos", Profile::Release, &minutes.chain(arguments.iter().cloned()).collect::<Vec<_>>())
}

/// Each alert rule made to fire.
pub fn alerts(arguments: &[String]) -> Result<()> {
    run("alerts", Profile::Dev, arguments)
}

/// The leader killed again and again under load.
pub fn leader_kills(arguments: &[String]) -> Result<()> {
    run("leader-kills", Profile::Dev, arguments)
}

/// Figures are quoted of the programs that people run, so these are built for release.
pub fn bench(arguments: &[String]) -> Result<()> {
    run("figures", Profile::Release, arguments)
}

/// The campaign on every target, with an engine that was built for it.
pub fn fuzz(arguments: &[String]) -> Result<()> {
    run("fuzz", Profile::Dev, arguments)
}

/// Every state of every model.
pub fn models(arguments: &[String]) -> Result<()> {
    run("models", Profile::Dev, arguments)
}

/// Load on servers of ours and of others.
pub fn load(arguments: &[String]) -> Result<()> {
    run("loadtest", Profile::Release, arguments)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Dev,
    Release,
}

/// Builds all programs at once: the features of dependencies, and so their builds, follow from what is selected. Tells
/// the folder where they lie.
pub fn build(profile: Profile) -> Result<PathBuf> {
    let mut build = vec!["build", "--workspace", "--bins"];
    if profile == Profile::Release {
        build.push("--release");
        // Slow to optimize, asked for by nobody there, and with features that stop clocks.
        build.extend(["--exclude", "steeple-fuzz", "--exclude", "steeple-simulation"]);
        eprintln!("building for release, which takes minutes after a change");
    }
    cargo::run(&build)?;
    Ok(target_dir()?.join(if profile == Profile::Release { "release" } else { "debug" }))
}

/// The tools look for server and agent beside themselves.
fn run(tool: &str, profile: Profile, arguments: &[String]) -> Result<()> {
    let program = build(profile)?.join(tool);
    let status = Command::new(&program).args(arguments).current_dir(checkout::root()).status();
    let status = status.with_context(|| format!("running {}", program.display()))?;
    if status.success() {
        return Ok(());
    }
    bail!("{tool}: {status}")
}

pub fn target_dir() -> Result<PathBuf> {
    let metadata = cargo::metadata()?;
    let directory = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(PathBuf::from(directory))
}
