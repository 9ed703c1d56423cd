//! Go clients: go-spiffe and spire-api-sdk.

use std::collections::BTreeMap;

use anyhow::Result;

use super::tally::{Ending, Tally};
use super::verdict::Verdict;
use super::workshop::Workshop;
use crate::checkout;

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    let mut command = workshop.foreign("go", &checkout::root().join("interop/go"))?;
    // A result from the cache of another build of our programs would prove nothing.
    command.args(["test", "-v", "-count=1", "./..."]);
    let execution = workshop.execute("interop: go", command)?;
    Ok(Verdict::whole(&execution, read(&execution.output)))
}

/// From `--- PASS: TestName/case (0.01s)` lines. Only the leaves of the tree of tests are counted.
fn read(output: &str) -> Tally {
    let endings: BTreeMap<&str, Ending> = output.lines().filter_map(ending).collect();
    let is_leaf = |test: &str| !endings.keys().any(|other| is_below(other, test));
    let mut tally = Tally::default();
    for (_, ending) in endings.iter().filter(|(test, _)| is_leaf(test)) {
        tally.count(*ending);
    }
    tally
}

fn is_below(test: &str, parent: &str) -> bool {
    test.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}

fn ending(line: &str) -> Option<(&str, Ending)> {
    let (word, rest) = line.trim_start().strip_prefix("--- ")?.split_once(": ")?;
    let ending = match word {
        "PASS" => Ending::Passed,
        "FAIL" => Ending::Failed,
        "SKIP" => Ending::NotRun,
        _ => return None,
    };
    Some((rest.rsplit_once(" (").map_or(rest, |(test, _)| test), ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_counted() {
        let output = "\
=== RUN   TestA
--- PASS: TestA (0.00s)
--- FAIL: TestB (0.10s)
    --- PASS: TestB/one (0.00s)
    --- FAIL: TestB/two (0.10s)
--- SKIP: TestStock (0.00s)
--- PASS: TestBB (0.00s)
FAIL
";
        assert_eq!(read(output), Tally { passed: 3, failed: 1, double: 0, not_run: 1 });
    }
}
