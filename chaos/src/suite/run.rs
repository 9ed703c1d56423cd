//! One short round, or rounds until enough minutes have passed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use super::ledger::{Ledger, Round, sha256};
use super::options::SuiteArgs;
use super::report::Report;
use super::round::{Files, play};
use crate::out_dir::out_dir;

/// What `git` calls a checkout whose files are not those of its commit.
const MODIFIED: &str = "-modified";

pub async fn run(args: SuiteArgs) -> anyhow::Result<()> {
    let kind = if args.is_long() { "chaos-long" } else { "chaos" };
    let dir = out_dir(args.out.clone(), kind)?;
    let commit = commit();
    if !args.is_long() {
        let (report, round) = round(&args, 0, &dir, &commit).await?;
        println!("{}", summary(&[&round], &dir));
        ensure!(report.passed, "the round did not keep its promises");
        return Ok(());
    }
    if commit.ends_with(MODIFIED) {
        // Nobody knows whether what is in the folder was made by these sources.
        let _ = std::fs::remove_file(dir.join("rounds.jsonl"));
    }
    let mut ledger = Ledger::open(&dir, &commit)?;
    if !ledger.rounds.is_empty() {
        println!("going on after {} rounds, {:.0} s under load", ledger.rounds.len(), ledger.seconds());
    }
    while !args.is_reached(ledger.rounds.len(), ledger.seconds()) {
        let (report, round) = round(&args, ledger.rounds.len() as u64, &dir, &commit).await?;
        ledger.add(round)?;
        ensure!(report.passed, "round {} did not keep its promises", ledger.rounds.len());
    }
    println!("{}", summary(&ledger.rounds.iter().collect::<Vec<_>>(), &dir));
    println!("{}", totals(&ledger.rounds));
    println!("  rounds.jsonl, which names all of them, SHA-256 {}", ledger.sha256()?);
    Ok(())
}

async fn round(args: &SuiteArgs, number: u64, dir: &Path, commit: &str) -> anyhow::Result<(Report, Round)> {
    let plan = args.plan(number)?;
    println!("round {}: seed {}, {} replicas, {commit}", number + 1, plan.seed, plan.replicas);
    let history = format!("history-{}.jsonl", number + 1);
    let files = Files { history: dir.join(&history), logs: dir.join(format!("logs-{}", number + 1)) };
    let report = play(&plan, &files).await?;
    serde_json::to_writer_pretty(std::fs::File::create(dir.join(format!("report-{}.json", number + 1)))?, &report)?;
    print!("{report}");
    let round = Round {
        commit: commit.to_owned(),
        seed: plan.seed,
        replicas: plan.replicas,
        seconds: report.figures.seconds,
        passed: report.passed,
        faults: report.figures.faults.iter().map(|(name, fault)| (name.clone(), fault.happened)).collect(),
        least_slack_ms: report.least_slack_ms,
        history_sha256: sha256(&files.history)?,
        history,
    };
    Ok((report, round))
}

fn summary(rounds: &[&Round], dir: &Path) -> String {
    let mut lines = vec![format!("  in {}:", dir.display())];
    for round in rounds {
        let Round { commit, seed, replicas, seconds, history, history_sha256, .. } = round;
        lines.push(format!("  {history}, SHA-256 {history_sha256}: {seconds:.0} s, {replicas} replicas, seed {seed}"));
        lines.push(format!("    of {commit}"));
    }
    lines.join("\n")
}

/// Of all rounds: how often each fault happened, and the least slack.
fn totals(rounds: &[Round]) -> String {
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, times) in rounds.iter().flat_map(|round| &round.faults) {
        *faults.entry(name).or_default() += times;
    }
    let mut lines: Vec<String> = faults.iter().map(|(name, times)| format!("  {name:<34} {times:>5}")).collect();
    let seconds: f64 = rounds.iter().map(|round| round.seconds).sum();
    lines.push(format!("  {} rounds, {seconds:.0} s under load", rounds.len()));
    if let Some(slack) = rounds.iter().filter_map(|round| round.least_slack_ms).min() {
        lines.push(format!("  {slack} ms at least from when all knew an authority until it was used"));
    }
    lines.join("\n")
}

/// What the checkout holds from which this is called.
fn commit() -> String {
    let words = ["describe", "--always", "--abbrev=40", "--exclude=*", &format!("--dirty={MODIFIED}")];
    let told = Command::new("git").args(words).output().ok().filter(|output| output.status.success());
    told.map_or_else(
        || format!("unknown{MODIFIED}"),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
