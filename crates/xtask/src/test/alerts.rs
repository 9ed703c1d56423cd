//! The alert rules: promtool's own tests, and that each rule has a test, a section in the runbook and metrics that
//! exist.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use super::verdict::{Counted, Verdict};
use super::workshop::Workshop;
use crate::checkout;

const FOLDER: &str = "deploy/alerts";
const RULES: &str = "deploy/alerts/steeple.rules.yml";
const TESTS: &str = "steeple.rules.test.yml";
const RUNBOOK: &str = "docs/runbook.md";
const METRICS: &str = "docs/metrics.md";

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    let read = |path: &str| std::fs::read_to_string(checkout::root().join(path)).context(path.to_owned());
    let (rules, tests) = (read(RULES)?, read(&format!("{FOLDER}/{TESTS}"))?);
    let missing = missing(&rules, &tests, &read(RUNBOOK)?, &read(METRICS)?);
    if !missing.is_empty() {
        bail!("{}", missing.join("\n"));
    }
    let Some(promtool) = workshop.tools().promtool()? else {
        let counted = Counted::Whole(Tally { passed: 1, not_run: 1, ..Tally::default() });
        return Ok(Verdict { counted, complaint: None });
    };
    let mut command = Command::new(promtool);
    command.current_dir(checkout::root().join(FOLDER)).args(["test", "rules", TESTS]);
    let execution = workshop.execute("alerts", command)?;
    Ok(Verdict::whole(&execution, Tally { passed: 1 + usize::from(execution.success), ..Tally::default() }))
}

/// What the other files owe the rules.
fn missing(rules: &str, tests: &str, runbook: &str, metrics: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for alert in alerts(rules) {
        if !tests.contains(&format!("alertname=\"{alert}\", alertstate=\"firing\"")) {
            missing.push(format!("{alert} has no test in {FOLDER}/{TESTS}"));
        }
        let section = runbook.contains(&format!("### {alert}\n")) || runbook.contains(&format!("\n`{alert}` is"));
        if !section {
            missing.push(format!("{alert} has no section in {RUNBOOK}"));
        }
    }
    for metric in series(rules) {
        if !is_documented(metric, metrics) {
            missing.push(format!("{metric} of {RULES} is no metric of {METRICS}"));
        }
    }
    missing
}

fn alerts(rules: &str) -> impl Iterator<Item = &str> {
    rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: "))
}

/// The names of the series that the expressions read.
fn series(rules: &str) -> BTreeSet<&str> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = words.flat_map(move |line| line.split(move |character| !is_name(character)));
    words.filter(|word| word.starts_with("spire_") || word.starts_with("steeple_")).collect()
}

fn is_documented(series: &str, metrics: &str) -> bool {
    let name = series.strip_prefix("spire_server_").or_else(|| series.strip_prefix("spire_agent_")).unwrap_or(series);
    let name = ["_bucket", "_elapsed_time"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    // The call counters of all methods have one row of prose.
    let is_of_methods = name.starts_with("rpc_") || name.starts_with("rateLimit_");
    is_of_methods || metrics.contains(&format!("| `{name}` |"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_owes_a_test_a_section_and_metrics() {
        let rules =
            "# steeple_ignored\n  - alert: SteepleA\n    expr: rate(steeple_a_bucket{x=\"y\"}[5m]) > spire_server_b\n";
        let tests = "ALERTS{alertname=\"SteepleA\", alertstate=\"firing\"}";
        let (runbook, metrics) = ("### SteepleA\n", "| `steeple_a` | | x |\n| `b` | | x |\n");
        assert_eq!(missing(rules, tests, runbook, metrics), [""; 0]);
        assert_eq!(missing(rules, "", runbook, metrics).len(), 1);
        assert_eq!(missing(rules, tests, "", metrics).len(), 1);
        assert_eq!(missing(rules, tests, runbook, "").len(), 2);
    }
}
