//! The Java client: java-spiffe over netty.

use anyhow::Result;

use super::tally::Tally;
use super::verdict::Verdict;
use super::workshop::Workshop;
use crate::checkout;

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    let mut command = workshop.foreign("mvn", &checkout::root().join("interop/java"))?;
    // Nothing is written beside the sources.
    let output = format!("-Doutput={}", workshop.cache("java")?.display());
    command.args(["--batch-mode", "--no-transfer-progress", &output, "test"]);
    let execution = workshop.execute("interop: java", command)?;
    Ok(Verdict::whole(&execution, read(&execution.output)))
}

/// From Surefire's last summary, `[INFO] Tests run: 6, Failures: 0, Errors: 0, Skipped: 1`.
fn read(output: &str) -> Tally {
    let mut tally = Tally::default();
    let summary = |line: &&str| line.contains("Tests run: ");
    let Some((_, line)) = output.lines().rfind(summary).and_then(|line| line.split_once("Tests run: ")) else {
        return tally;
    };
    let number = |text: &str| text.split(',').next().and_then(|number| number.trim().parse().ok()).unwrap_or_default();
    let after = |word: &str| line.split_once(word).map_or(0, |(_, rest)| number(rest));
    tally.failed = after("Failures: ") + after("Errors: ");
    tally.not_run = after("Skipped: ");
    tally.passed = number(line).saturating_sub(tally.failed + tally.not_run);
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_summary_counts() {
        let output = "\
[INFO] Tests run: 2, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 1.2 s - in A
[ERROR] Tests run: 7, Failures: 1, Errors: 1, Skipped: 1
[INFO] BUILD FAILURE
";
        assert_eq!(read(output), Tally { passed: 4, failed: 2, double: 0, not_run: 1 });
        assert_eq!(read("[ERROR] COMPILATION ERROR"), Tally::default());
    }
}
