//! Real processes on loopback: the demonstration, the leader killed again and again, and every other fault once. They
//! find the programs beside themselves.

use std::process::Command;

use anyhow::Result;

use super::verdict::Verdict;
use super::workshop::Workshop;

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    program(workshop, "demo", "demo", &[])
}

/// Enough to see that the tool and the recovery work.
pub fn few_leader_kills(workshop: &Workshop) -> Result<Verdict> {
    program(workshop, "leader kills", "leader-kills", &["--count", "5", "--power-cuts", "1"])
}

/// Every fault once.
pub fn faults(workshop: &Workshop) -> Result<Verdict> {
    program(workshop, "chaos", "chaos", &[])
}

/// Enough to see that whole clusters still run from a seed.
pub fn few_seeds(workshop: &Workshop) -> Result<Verdict> {
    program(workshop, "simulation", "simulate", &["--seeds", "4", "--jobs", "1"])
}

/// What the figures in the documents are about.
pub fn many_leader_kills(workshop: &Workshop) -> Result<Verdict> {
    program(workshop, "leader kills (200)", "leader-kills", &["--count", "200"])
}

/// A run can fail.
pub fn leader_kills_self_test(workshop: &Workshop) -> Result<Verdict> {
    program(workshop, "leader kills (self-test)", "leader-kills", &["--self-test"])
}

fn program(workshop: &Workshop, title: &str, name: &str, arguments: &[&str]) -> Result<Verdict> {
    let mut command = Command::new(workshop.artifacts()?.program(name)?);
    command.args(arguments);
    Ok(Verdict::step(&workshop.execute(title, command)?))
}
