//! Calls of cargo.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{checkout, librocksdb};

/// A call in the checkout, linking the RocksDB of the cache unless the caller chose another.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(checkout::root());
    if std::env::var_os("ROCKSDB_LIB_DIR").is_none() && librocksdb::library().exists() {
        command.env("ROCKSDB_LIB_DIR", librocksdb::library_folder()).env("ROCKSDB_STATIC", "1");
    }
    command
}

pub fn run(arguments: &[&str]) -> Result<()> {
    let status = command(arguments).status().context("running cargo")?;
    if status.success() {
        return Ok(());
    }
    bail!("cargo {}: {status}", arguments.join(" "))
}

/// The workspace's packages and what they ask for, without their dependencies' own.
pub fn metadata() -> Result<serde_json::Value> {
    let output = command(&["metadata", "--no-deps", "--format-version", "1"]).output().context("running cargo")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
