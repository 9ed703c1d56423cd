//! Builds the libFuzzer program, then lets the campaign of `crates/fuzz` run it.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cargo, programs};

/// LLVM's instrumentation for libFuzzer, without a sanitizer: no parser has `unsafe`, and panics need none. So the
/// pinned toolchain does.
const RUSTFLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

pub fn run(arguments: &[String]) -> Result<()> {
    let host = host()?;
    // With a target named, build scripts and macros are not instrumented.
    let package = ["--package", "steeple-fuzz", "--bin", "libfuzzer", "--features", "libfuzzer"];
    let build = [&["build", "--profile", "fuzz", "--target", host.as_str()][..], &package[..]].concat();
    let status = cargo::command(&build).env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f")).status();
    let status = status.context("running cargo")?;
    if !status.success() {
        bail!("building the fuzzer: {status}");
    }
    let engine = programs::target_dir()?.join(host).join("fuzz").join("libfuzzer");
    let engine = ["--engine".to_owned(), engine.display().to_string()];
    programs::fuzz(&engine.into_iter().chain(arguments.iter().cloned()).collect::<Vec<_>>())
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("running rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}
