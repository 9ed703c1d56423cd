//! What a suite comes to.

use std::fmt;
use std::ops::AddAssign;

/// Numbers of tests. Each test is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    /// Passed, but against a protocol double instead of the real thing.
    pub double: usize,
    /// Something that it needs does not exist here.
    pub not_run: usize,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub suite: String,
    pub tally: Tally,
    pub seconds: f64,
}

/// How a single test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Passed, against a double.
    Double,
    Failed,
    NotRun,
    Passed,
}

impl Tally {
    pub const FAILED: Self = Self { passed: 0, failed: 1, double: 0, not_run: 0 };
    pub const PASSED: Self = Self { passed: 1, failed: 0, double: 0, not_run: 0 };

    pub fn count(&mut self, ending: Ending) {
        match ending {
            Ending::Double => self.double += 1,
            Ending::Failed => self.failed += 1,
            Ending::NotRun => self.not_run += 1,
            Ending::Passed => self.passed += 1,
        }
    }

    /// A suite that ends badly without naming a test has failed all the same: it may not have come to its tests.
    pub fn with_exit(mut self, success: bool) -> Self {
        let empty = self == Self::default();
        if self.failed == 0 && (!success || empty) {
            self.failed = 1;
        }
        self
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.double += other.double;
        self.not_run += other.not_run;
    }
}

/// The table and, alone on the last line, what decides.
pub struct Table<'a>(pub &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|row| row.suite.len()).max().unwrap_or_default().max("total".len());
        writeln!(f, "{:<width$}  passed  failed  double  not run  seconds", "suite")?;
        let mut total = Row { suite: "total".to_owned(), tally: Tally::default(), seconds: 0.0 };
        for row in self.0 {
            total.tally += row.tally;
            total.seconds += row.seconds;
            self.line(f, width, row)?;
        }
        self.line(f, width, &total)?;
        writeln!(f, "\n{} passed, {} failed", total.tally.passed, total.tally.failed)
    }
}

impl Table<'_> {
    fn line(&self, f: &mut fmt::Formatter<'_>, width: usize, row: &Row) -> fmt::Result {
        let Tally { passed, failed, double, not_run } = row.tally;
        let (suite, seconds) = (&row.suite, row.seconds);
        writeln!(f, "{suite:<width$}  {passed:>6}  {failed:>6}  {double:>6}  {not_run:>7}  {seconds:>7.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_is_never_the_real_thing() {
        let mut tally = Tally::default();
        for ending in [Ending::Double, Ending::Failed, Ending::NotRun, Ending::Passed] {
            tally.count(ending);
        }
        assert_eq!(tally, Tally { passed: 1, failed: 1, double: 1, not_run: 1 });
    }

    #[test]
    fn a_suite_without_tests_has_failed() {
        assert_eq!(Tally::default().with_exit(true), Tally::FAILED);
        assert_eq!(Tally::PASSED.with_exit(true), Tally::PASSED);
        assert_eq!(Tally::PASSED.with_exit(false), Tally { failed: 1, ..Tally::PASSED });
        assert_eq!(Tally::FAILED.with_exit(false), Tally::FAILED);
    }

    #[test]
    fn the_last_line_stands_alone() {
        let row = |suite: &str, tally| Row { suite: suite.to_owned(), tally, seconds: 1.25 };
        let rows =
            [row("format", Tally::PASSED), row("rust: agent", Tally { passed: 7, failed: 1, double: 2, not_run: 3 })];
        let wanted = "\
suite        passed  failed  double  not run  seconds
format            1       0       0        0      1.2
rust: agent       7       1       2        3      1.2
total             8       1       2        3      2.5

8 passed, 1 failed
";
        assert_eq!(Table(&rows).to_string(), wanted);
    }
}
