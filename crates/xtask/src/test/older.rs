//! The release before beside this one: its server is built once from its commit, and a cluster is upgraded from it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::rust;
use super::verdict::Verdict;
use super::workshop::Workshop;
use crate::{cargo, checkout};

/// The last one whose server knows no higher cluster version than 4.
const COMMIT: &str = "1a27ef05be3e498ce651750e083f7f515296a74f";
const CLUSTER_VERSION: &str = "4";

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    let server = server(workshop)?;
    rust::upgrade(workshop, &server)
}

fn server(workshop: &Workshop) -> Result<PathBuf> {
    let folder = workshop.cache("older")?;
    let built = folder.join(format!("steeple-server-{CLUSTER_VERSION}-{}", &COMMIT[..12]));
    if built.exists() {
        return Ok(built);
    }
    let source = folder.join("source");
    if source.exists() {
        std::fs::remove_dir_all(&source)?;
    }
    std::fs::create_dir_all(&source)?;
    let archive = folder.join("source.tar");
    let mut git = Command::new("git");
    git.arg("archive").arg(format!("--output={}", archive.display())).arg(COMMIT).current_dir(checkout::root());
    workshop.succeed("release before: source", git)?;
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(&archive).arg("-C").arg(&source);
    workshop.succeed("release before: unpacking", tar)?;
    let mut build = cargo::command(&["build", "--package", "steeple-server-raft", "--bin", "steeple-server"]);
    build.current_dir(&source).env("CARGO_TARGET_DIR", folder.join("target"));
    workshop.succeed("release before: build", build)?;
    std::fs::copy(folder.join("target/debug/steeple-server"), &built)?;
    std::fs::remove_file(&archive)?;
    std::fs::remove_dir_all(&source)?;
    Ok(built)
}
