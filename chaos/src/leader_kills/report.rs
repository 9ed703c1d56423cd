//! The outcome, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::figures::Figures;
use super::judge::Verdict;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) passed: bool,
    pub(super) shortfalls: Vec<String>,
    pub(super) figures: Figures,
    pub(super) verdict: Verdict,
}

/// How many findings of a kind are printed; the JSON report has all.
const SHOWN_MAX: usize = 5;

impl Report {
    /// Without `limits` only the verdict counts.
    pub(super) fn new(figures: Figures, verdict: Verdict, limits: bool) -> Self {
        let shortfalls = if limits { figures.shortfalls() } else { Vec::new() };
        Self { passed: shortfalls.is_empty() && verdict.is_clean(), shortfalls, figures, verdict }
    }

    pub(super) fn brief(&self) -> String {
        let Verdict { lost, duplicates, short, wrong, diverged, acknowledged, .. } = &self.verdict;
        format!(
            "{acknowledged} acknowledged writes: {} lost, {} duplicates, {} short, {} wrong, {} hashes different: {}",
            lost.len(),
            duplicates.len(),
            short.len(),
            wrong.len(),
            diverged.len(),
            self.outcome()
        )
    }

    fn outcome(&self) -> &'static str {
        if self.passed { "PASSED" } else { "FAILED" }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (figures, verdict) = (&self.figures, &self.verdict);
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<42} {value}");
        row("leader kills", figures.leader_kills.to_string())?;
        row("power cuts of all replicas", figures.power_cuts.to_string())?;
        row("  bytes that were never synced, dropped", figures.dropped_bytes.to_string())?;
        row("seconds under load", format!("{:.0}", figures.seconds))?;
        row("successful calls", figures.successes.to_string())?;
        for (call, count) in &figures.successes_by_call {
            row(&format!("  {call}"), count.to_string())?;
        }
        row("successful calls a second", format!("{:.1}", figures.successes_per_second))?;
        for (code, count) in &figures.failures_by_code {
            row(&format!("calls without success, {code}"), count.to_string())?;
        }
        row("write gap, median", format!("{} ms", figures.write_gap_median_ms))?;
        row("write gap, 99th percentile", format!("{} ms", figures.write_gap_p99_ms))?;
        row("write gap, longest", format!("{} ms", figures.write_gap_max_ms))?;
        row("acknowledged writes, read from each replica", verdict.acknowledged.to_string())?;
        row("  lost", verdict.lost.len().to_string())?;
        row("  duplicates", verdict.duplicates.len().to_string())?;
        row("short lists", verdict.short.len().to_string())?;
        row("wrong answers", verdict.wrong.len().to_string())?;
        row("state hashes compared at equal indexes", verdict.hashes_compared.to_string())?;
        row("  different", verdict.diverged.len().to_string())?;
        for found in [&verdict.lost, &verdict.duplicates, &verdict.short, &verdict.wrong, &verdict.diverged] {
            for text in found.iter().take(SHOWN_MAX) {
                writeln!(f, "  ! {text}")?;
            }
        }
        for text in &self.shortfalls {
            writeln!(f, "  ! {text}")?;
        }
        writeln!(f, "  {}", self.outcome())
    }
}
