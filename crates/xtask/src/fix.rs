//! What `verify` complains about and a program can mend.

use anyhow::{Context, Result, ensure};

use crate::{cargo, codegen, tidy};

pub fn run() -> Result<()> {
    codegen::write()?;
    write_committed()?;
    tidy::repoint_links()?;
    cargo::run(&["fmt", "--all"])
}

/// Documents that are made of code: their tests write them when they are told to.
fn write_committed() -> Result<()> {
    let tests = ["test", "--quiet", "--workspace", "--lib", "--", "committed_"];
    let status = cargo::command(&tests).env("STEEPLE_WRITE_COMMITTED", "1").status().context("running cargo")?;
    ensure!(status.success(), "the tests that write documents failed: {status}");
    Ok(())
}
