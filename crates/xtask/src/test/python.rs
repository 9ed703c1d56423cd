//! The Python client: py-spiffe over grpcio.

use anyhow::Result;

use super::tally::Tally;
use super::verdict::Verdict;
use super::workshop::Workshop;
use crate::checkout;

pub fn run(workshop: &Workshop) -> Result<Verdict> {
    let python = workshop.tools().python("interop/python/requirements.txt")?;
    let mut command = workshop.foreign(python, &checkout::root().join("interop/python"))?;
    // Nothing is written beside the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1").args(["-m", "pytest", "-v", "-p", "no:cacheprovider"]);
    let execution = workshop.execute("interop: python", command)?;
    Ok(Verdict::whole(&execution, read(&execution.output)))
}

/// From pytest's last line, `=== 1 failed, 5 passed, 1 skipped in 2.10s ===`.
fn read(output: &str) -> Tally {
    let mut tally = Tally::default();
    let Some(line) = output.lines().rfind(|line| line.starts_with("==")) else { return tally };
    let (numbers, _) = line.trim_matches(['=', ' ']).split_once(" in ").unwrap_or_default();
    for (number, word) in numbers.split(", ").filter_map(|part| part.split_once(' ')) {
        let number: usize = number.parse().unwrap_or_default();
        match word {
            "passed" => tally.passed += number,
            "failed" | "error" | "errors" => tally.failed += number,
            "skipped" => tally.not_run += number,
            _ => {}
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let output = "=== test session starts ===\na.py::test PASSED\n=== 1 failed, 5 passed, 2 skipped in 2.10s ===\n";
        assert_eq!(read(output), Tally { passed: 5, failed: 1, double: 0, not_run: 2 });
        assert_eq!(read("== 2 passed, 1 warning, 1 error in 0.1s ==").failed, 1);
        assert_eq!(read("Traceback"), Tally::default());
    }
}
