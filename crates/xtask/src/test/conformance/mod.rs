//! SPIRE's recorded behaviour. The engine and its cases lie beside the checkout, `../shared/conformance`. Committed in
//! `interop/conformance/` are cases of our own, recorded from SPIRE by the same engine, which cases must pass, and why
//! each of the others does not yet.

mod judge;
mod lists;
mod outcomes;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::progress::say;
use super::tally::Tally;
use super::verdict::{Counted, Verdict};
use super::workshop::Workshop;
use crate::checkout;
use judge::judge;
use lists::Lists;
use outcomes::Outcomes;

/// Where the engine is when it is not beside the checkout.
const LOCATION: &str = "STEEPLE_CONFORMANCE";
const LISTS: &str = "interop/conformance";
/// Scenarios at a time; the engine's own default.
const JOBS: &str = "2";

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    let lists = Lists::read(&checkout::root().join(LISTS))?;
    let Some(folder) = folder() else {
        let not_run = Tally { not_run: lists.passing.len(), ..Tally::default() };
        say(&format!("conformance: no engine beside the checkout, and {LOCATION} is not set"));
        return Ok(Verdict { counted: Counted::Whole(not_run), complaint: None });
    };
    let mut outcomes = play(workshop, &folder, "")?;
    // Another key is another word.
    for scenario in outcomes.misread() {
        say(&format!("conformance: {scenario} once more: the engine took a random key for a word"));
        outcomes.replace(play(workshop, &folder, &format!("^{scenario}$"))?);
    }
    let judgement = judge(&lists, &outcomes);
    Ok(Verdict { counted: Counted::Whole(judgement.tally), complaint: judgement.complaint() })
}

/// `cargo xtask conformance [FILTER]` plays the scenarios that match and brings the lists up to date: the list of
/// passing cases only grows, and a case new on the other list waits for its reason.
pub fn update(filter: &str) -> Result<()> {
    let folder = folder().with_context(|| format!("no engine beside the checkout, and {LOCATION} is not set"))?;
    let home = checkout::root().join(LISTS);
    let mut lists = Lists::read(&home)?;
    let outcomes = play(&Workshop::open()?, &folder, filter)?;
    let judgement = judge(&lists.only(&outcomes), &outcomes);
    println!("{}", judgement.complaint().unwrap_or_default());
    let news = lists.learn(&outcomes);
    lists.write(&home)?;
    println!("{news}; {} of {} cases are listed as passing", lists.passing.len(), lists.len());
    Ok(())
}

fn folder() -> Option<PathBuf> {
    let beside = || checkout::root().parent().map(|parent| parent.join("shared/conformance"));
    let folder = std::env::var_os(LOCATION).map(PathBuf::from).or_else(beside)?;
    folder.join("go.mod").exists().then_some(folder)
}

fn play(workshop: &Workshop, folder: &Path, filter: &str) -> Result<Outcomes> {
    let artifacts = workshop.artifacts()?;
    let engine = workshop.cache("conformance")?.join("engine");
    let mut build = Command::new("go");
    build.current_dir(folder).args(["build", "-buildvcs=false", "-o"]).arg(&engine).arg(".");
    workshop.succeed("conformance: build", build)?;

    let mut command = in_own_network(&engine);
    command.args(["run", "-v", "-jobs", JOBS, "-filter", filter]);
    for home in [folder, &checkout::root().join(LISTS)] {
        command.arg("-cases").arg(home.join("cases"));
    }
    command.arg("-server").arg(artifacts.program("steeple-server")?);
    command.arg("-agent").arg(artifacts.program("steeple-agent")?);
    command.arg("-oidc").arg(oidc_provider(workshop, artifacts.program("steeple-server")?)?);
    // It ends badly when any case fails, listed or not: only the lines count.
    Ok(Outcomes::read(&workshop.execute("conformance", command)?.output))
}

/// The engine picks free ports some time before its servers bind them. In a network of its own, where the kernel and
/// our rights allow one, nobody else takes them in between.
fn in_own_network(engine: &Path) -> Command {
    let unshared = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c"]).arg(format!("ip link set lo up && {program}"));
        command
    };
    if unshared("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        let mut command = unshared("exec \"$0\" \"$@\"");
        command.arg(engine);
        return command;
    }
    Command::new(engine)
}

/// The server under the name that makes it a discovery provider.
fn oidc_provider(workshop: &Workshop, server: &Path) -> Result<PathBuf> {
    let link = workshop.cache("conformance")?.join("oidc-discovery-provider");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(server, &link).with_context(|| format!("linking {}", link.display()))?;
    Ok(link)
}
