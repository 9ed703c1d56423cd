//! Every check, in the order of their cost. All of them run, so that one call tells everything that is wrong.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{cargo, codegen, direction, librocksdb, tidy};

type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 6] = [
    ("tidy", tidy::check),
    ("direction", direction::check),
    ("generated code", codegen::check),
    ("format", || cargo::run(&["fmt", "--all", "--", "--check"])),
    ("clippy", || cargo::run(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    ("tests", || cargo::run(&["test", "--workspace"])),
];

pub fn run() -> Result<()> {
    librocksdb::build()?;
    let outcomes = CHECKS.map(|(name, check)| {
        println!("verify: {name}");
        let started = Instant::now();
        let outcome = check();
        if let Err(error) = &outcome {
            eprintln!("{error:#}");
        }
        (name, outcome.is_ok(), started.elapsed().as_secs())
    });
    println!();
    for (name, passed, seconds) in outcomes {
        println!("{name:<16} {:<6} {seconds:>5} s", if passed { "passed" } else { "FAILED" });
    }
    match outcomes.iter().filter(|(_, passed, _)| !passed).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks failed", CHECKS.len()),
    }
}
