//! The workspace's own tests: one run of cargo, a row for each crate.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::Path;

use anyhow::Result;

use super::artifacts::Artifacts;
use super::go_program;
use super::tally::{Ending, Row, Tally};
use super::verdict::{Counted, Verdict};
use super::workshop::Workshop;
use crate::cargo;

/// What a test prints, with the reason, before it returns early because something that it needs does not exist here.
const NOT_RUN: &str = "not run:";
/// What a double prints when it starts, with what it stands in for: the testkit's `announce_double`.
const DOUBLE: &str = "double:";

/// Test programs that use a published client of SPIFFE have names that begin so, and a row of their own.
const INTEROP: &str = "interop_";

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    tests(workshop, "rust", &[], &[])
}

/// From the release before, whose server is at `older`.
pub fn upgrade(workshop: &Workshop, older: &Path) -> Result<Verdict> {
    tests(workshop, "upgrade", &["--test", "operations", "upgrade::"], &[("OLDER_STEEPLE_SERVER", older)])
}

/// Only the published Rust client.
pub fn interop(workshop: &Workshop) -> Result<Verdict> {
    tests(workshop, "interop: rust", &["--test", "interop_*"], &[])
}

fn tests(workshop: &Workshop, name: &str, selection: &[&str], programs: &[(&str, &Path)]) -> Result<Verdict> {
    let artifacts = workshop.artifacts()?;
    // The output of tests that passed tells which of them did not run.
    let arguments = [&["test", "--workspace", "--no-fail-fast"], selection, &["--", "--show-output"]].concat();
    let mut command = cargo::command(&arguments);
    command.env("RUST_TEST_THREADS", threads().to_string()).envs(programs.iter().copied());
    if let Some(prometheus) = workshop.tools().prometheus() {
        command.env("STEEPLE_PROMETHEUS", prometheus);
    }
    for program in &go_program::ALL {
        if let Some(built) = program.build(workshop)? {
            command.env(program.variable, built);
        }
    }
    let execution = workshop.execute(name, command)?;
    let mut rows = read(&execution.output, artifacts);
    if !execution.success && rows.iter().all(|row| row.tally.failed == 0) {
        // A test program crashed, or did not compile.
        rows.push(Row { suite: name.to_owned(), tally: Tally::FAILED, seconds: 0.0 });
    }
    let complaint = (!execution.success).then(|| failed_tests(&execution.output) + &execution.tail());
    Ok(Verdict { counted: Counted::Rows(rows), complaint })
}

/// Two for each core: a test of processes mostly waits for them.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get) * 2
}

/// Reads what `cargo test -- --show-output` says: for each test program a `Running` line, a line for each test, the
/// outputs, and a summary.
fn read(output: &str, artifacts: &Artifacts) -> Vec<Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut program = Program::default();
    for line in output.lines() {
        if let Some(next) = Program::begins(line, artifacts) {
            program = next;
        } else if let Some((test, Ending::Passed)) = test_line(line) {
            program.passed.insert(test.to_owned());
        } else if let Some(test) = line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----")) {
            program.speaking = test.to_owned();
        } else if line.starts_with(NOT_RUN) {
            program.not_run.insert(program.speaking.clone());
        } else if line.starts_with(DOUBLE) {
            program.double.insert(program.speaking.clone());
        } else if let Some(summary) = Summary::read(line) {
            let suite = program.suite();
            let row = rows.entry(suite.clone()).or_insert(Row { suite, tally: Tally::default(), seconds: 0.0 });
            row.seconds += summary.seconds;
            row.tally += program.tally(&summary);
        }
    }
    rows.into_values().collect()
}

/// One test program while its output is read.
#[derive(Default)]
struct Program {
    name: String,
    of_crate: String,
    passed: BTreeSet<String>,
    /// Said so; some of them may have failed all the same.
    not_run: BTreeSet<String>,
    /// Were answered by a double; some of them may have failed, or not have run in the end.
    double: BTreeSet<String>,
    /// The test whose output is being shown.
    speaking: String,
}

impl Program {
    /// From `Running tests/a.rs (target/debug/deps/a-1f)` or `Doc-tests steeple_core`.
    fn begins(line: &str, artifacts: &Artifacts) -> Option<Self> {
        let line = line.trim_start();
        let (name, of_crate) = if let Some(path) = line.strip_prefix("Running ") {
            let name = path.rsplit(['/', '(']).next()?.strip_suffix(')')?;
            (name, artifacts.crate_of_test.get(name)?.clone())
        } else {
            let name = line.strip_prefix("Doc-tests ")?;
            (name, name.trim_start_matches("steeple_").replace('_', "-"))
        };
        Some(Self { name: name.to_owned(), of_crate, ..Self::default() })
    }

    fn suite(&self) -> String {
        if self.name.starts_with(INTEROP) {
            return "interop: rust".to_owned();
        }
        format!("rust: {}", self.of_crate)
    }

    /// The summary has the right numbers even where a child's words tore a test's line apart; the lines tell which of
    /// those that passed did so in name only.
    fn tally(&self, summary: &Summary) -> Tally {
        let mut tally = Tally::default();
        for test in &self.passed {
            tally.count(self.ending(test));
        }
        tally.passed = summary.passed.saturating_sub(tally.double + tally.not_run);
        tally.not_run += summary.ignored;
        tally.failed = summary.failed;
        tally
    }

    /// Of a test that passed.
    fn ending(&self, test: &str) -> Ending {
        match test {
            _ if self.not_run.contains(test) => Ending::NotRun,
            _ if self.double.contains(test) => Ending::Double,
            _ => Ending::Passed,
        }
    }
}

/// `test a::b ... ok`, with `ignored, reason` and `- should panic` as variants.
fn test_line(line: &str) -> Option<(&str, Ending)> {
    let (test, ending) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let ending = match ending {
        "ok" => Ending::Passed,
        "FAILED" => Ending::Failed,
        _ if ending.starts_with("ignored") => Ending::NotRun,
        _ => return None,
    };
    Some((test.trim_end_matches(" - should panic"), ending))
}

#[derive(Default)]
struct Summary {
    passed: usize,
    failed: usize,
    ignored: usize,
    seconds: f64,
}

impl Summary {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …; finished in 0.05s`
    fn read(line: &str) -> Option<Self> {
        let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut summary = Self::default();
        for part in numbers.split("; ") {
            match part.split_once(' ')? {
                (number, "passed") => summary.passed = number.parse().ok()?,
                (number, "failed") => summary.failed = number.parse().ok()?,
                (number, "ignored") => summary.ignored = number.parse().ok()?,
                ("finished", time) => summary.seconds = time.strip_prefix("in ")?.strip_suffix('s')?.parse().ok()?,
                _ => {}
            }
        }
        Some(summary)
    }
}

/// The tail of the log shows only the last program's.
fn failed_tests(output: &str) -> String {
    let failed = output.lines().filter(|line| matches!(test_line(line), Some((_, Ending::Failed))));
    failed.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
     Running unittests src/lib.rs (/t/debug/deps/steeple_ca-01)

running 4 tests
test csr::tests::ok ... ok
test csr::tests::torn ... a child speaks
ok
test csr::tests::panics - should panic ... ok
test csr::tests::long ... ignored, takes an hour

successes:

successes:
    csr::tests::ok

test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.50s

     Running tests/x509.rs (/t/debug/deps/x509-02)

running 4 tests
test openssl_reads_it ... ok
test the_kubelet_answers ... ok
test the_kubelet_is_not_needed ... ok
test wrong ... FAILED

successes:

---- openssl_reads_it stdout ----
not run: openssl is not installed

---- the_kubelet_answers stdout ----
double: the kubelet
double: the container engine

---- the_kubelet_is_not_needed stdout ----
double: the kubelet
not run: it makes cgroups

successes:
    openssl_reads_it

failures:

---- wrong stdout ----
not run: says a test that fails
double: the kubelet
assertion failed

test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s

   Doc-tests steeple_server_raft

running 1 test
test src/lib.rs - a (line 3) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

    #[test]
    fn a_row_for_each_crate() {
        let mut artifacts = Artifacts::default();
        for program in ["steeple_ca-01", "x509-02"] {
            artifacts.crate_of_test.insert(program.to_owned(), "ca".to_owned());
        }
        let ca = Row {
            suite: "rust: ca".to_owned(),
            tally: Tally { passed: 3, failed: 1, double: 1, not_run: 3 },
            seconds: 1.75,
        };
        let server = Row { suite: "rust: server-raft".to_owned(), tally: Tally::PASSED, seconds: 0.1 };
        assert_eq!(read(OUTPUT, &artifacts), [ca, server]);
        assert_eq!(failed_tests(OUTPUT), "test wrong ... FAILED\n");
    }
}
