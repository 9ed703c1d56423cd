//! Where the programs are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// Names the folder of the programs, for a tool that was not built together with them.
const BIN_DIR: &str = "STEEPLE_BIN_DIR";

/// They name stock SPIRE's programs.
const STOCK_SERVER: &str = "STOCK_SPIRE_SERVER";
const STOCK_AGENT: &str = "STOCK_SPIRE_AGENT";
/// Names a `steeple-server` of the release before; `./x test upgrade` builds one.
const OLDER_SERVER: &str = "OLDER_STEEPLE_SERVER";

/// The programs under test.
#[derive(Clone, Debug)]
pub struct Binaries {
    pub server: PathBuf,
    pub agent: PathBuf,
}

impl Binaries {
    /// In `STEEPLE_BIN_DIR`, or beside the running program as cargo puts them.
    pub fn find() -> anyhow::Result<Self> {
        let dir = match std::env::var_os(BIN_DIR) {
            Some(dir) => PathBuf::from(dir),
            None => beside(&std::env::current_exe().context("cannot tell where this program is")?),
        };
        let found = Self { server: dir.join("steeple-server"), agent: dir.join("steeple-agent") };
        for program in [&found.server, &found.agent] {
            ensure!(
                program.is_file(),
                "{} is missing: run `cargo build -p steeple-server-raft -p steeple-agent`, or set {BIN_DIR}",
                program.display()
            );
        }
        Ok(found)
    }

    /// Stock SPIRE's, where both are named; without them the test that asks is not run, and says so.
    pub fn stock() -> Option<Self> {
        Some(Self { server: named_program(STOCK_SERVER)?, agent: named_program(STOCK_AGENT)? })
    }
}

/// A server of the release before, where one is named.
pub fn older_server() -> Option<PathBuf> {
    named_program(OLDER_SERVER)
}

/// The program that the environment `variable` names; without it says that something is not run.
pub fn named_program(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).map(PathBuf::from);
    if path.is_none() {
        eprintln!("not run: {variable} is not set");
    }
    path
}

/// Tests are in `deps`, one below the programs.
fn beside(program: &Path) -> PathBuf {
    let dir = program.parent().unwrap_or(Path::new("."));
    let dir = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    dir.to_owned()
}
