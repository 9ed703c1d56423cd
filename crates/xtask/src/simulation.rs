//! The simulation, and whether it finds defects that were put in by hand.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{cargo, checkout, librocksdb};

const PACKAGE: [&str; 4] = ["--package", "steeple-simulation", "--bin", "simulate"];
const PATCHES: &str = "crates/simulation/mutants";
/// The profile for hours of seeds, with every assertion.
const QUICK: &str = "simulation";
/// A mutant that so many seeds do not find is not found.
const SEEDS: &str = "200";
/// What `simulate` exits with when it found something.
const FOUND: i32 = 1;

/// Many seeds, or one.
pub fn run(arguments: &[String]) -> Result<()> {
    let program = build(checkout::root(), &crate::programs::target_dir()?, QUICK)?;
    let status = Command::new(program).args(arguments).current_dir(checkout::root()).status();
    let status = status.context("running simulate")?;
    if status.success() {
        return Ok(());
    }
    bail!("simulate: {status}")
}

/// Each mutant whose name holds one of the words, or all of them: the tree is copied once, and each patch is applied,
/// built, run until a seed finds it, and taken back.
pub fn mutants(words: &[String]) -> Result<()> {
    let chosen = chosen(words)?;
    let folder = librocksdb::cache().join("mutants");
    let source = folder.join("source");
    copy_tree(&source)?;
    let mut survivors = Vec::new();
    for name in &chosen {
        let begun = Instant::now();
        let patch = checkout::root().join(PATCHES).join(name).with_extension("patch");
        apply(&source, &patch, &[])?;
        // A few seeds are enough to find most, in less time than optimizing takes.
        let mut simulate = Command::new(build(&source, &folder.join("target"), "dev")?);
        let status = simulate.args(["--seeds", SEEDS, "--until-found"]).status().context("running simulate")?;
        apply(&source, &patch, &["--reverse"])?;
        let secs = begun.elapsed().as_secs();
        match status.code() {
            Some(FOUND) => println!("{name}: found, {secs} s with the build"),
            Some(0) => {
                println!("{name}: NOT found by {SEEDS} seeds, {secs} s with the build");
                survivors.push(name.as_str());
            }
            _ => bail!("{name}: simulate: {status}"),
        }
    }
    ensure!(survivors.is_empty(), "not found: {}", survivors.join(", "));
    Ok(())
}

fn build(source: &Path, target: &Path, profile: &str) -> Result<PathBuf> {
    let mut build = cargo::command(&[&["build", "--profile", profile][..], &PACKAGE].concat());
    let status = build.current_dir(source).env("CARGO_TARGET_DIR", target).status().context("running cargo")?;
    ensure!(status.success(), "building the simulation in {}: {status}", source.display());
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target.join(folder).join("simulate"))
}

fn chosen(words: &[String]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for listed in std::fs::read_dir(checkout::root().join(PATCHES)).context(PATCHES)? {
        let path = listed?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "no mutant has a name with {}", words.join(" or "));
    Ok(names)
}

/// The files of the checkout as they are now. Each is new by its time, so that nothing of an earlier mutant passes for
/// built.
fn copy_tree(to: &Path) -> Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    for file in checkout::files()? {
        let copy = to.join(&file);
        std::fs::create_dir_all(copy.parent().unwrap_or(to))?;
        std::fs::copy(checkout::root().join(&file), &copy).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

fn apply(source: &Path, patch: &Path, more: &[&str]) -> Result<()> {
    let mut git = Command::new("git");
    // Not as a part of the repository in which the cache may lie.
    git.env("GIT_CEILING_DIRECTORIES", source.parent().unwrap_or(source)).env_remove("GIT_DIR");
    let status = git.arg("apply").args(more).arg(patch).current_dir(source).status().context("running git apply")?;
    ensure!(status.success(), "{} does not apply: mend it", patch.display());
    Ok(())
}
