//! Checks that are one verdict each.

use anyhow::Result;

use super::verdict::Verdict;
use super::workshop::Workshop;
use crate::{cargo, codegen, direction, tidy};

pub fn format(workshop: &Workshop) -> Result<Verdict> {
    let command = cargo::command(&["fmt", "--all", "--", "--check"]);
    Ok(Verdict::step(&workshop.execute("format", command)?))
}

pub fn clippy(workshop: &Workshop) -> Result<Verdict> {
    let command = cargo::command(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    Ok(Verdict::step(&workshop.execute("clippy", command)?))
}

pub fn direction(_: &Workshop) -> Result<Verdict> {
    direction::check().map(|()| Verdict::PASSED)
}

pub fn generated_code(_: &Workshop) -> Result<Verdict> {
    codegen::check().map(|()| Verdict::PASSED)
}

pub fn tidy(_: &Workshop) -> Result<Verdict> {
    tidy::check().map(|()| Verdict::PASSED)
}
