//! What a suite says of itself when it has run.

use super::execution::Execution;
use super::tally::{Row, Tally};

#[derive(Debug)]
pub struct Verdict {
    pub counted: Counted,
    /// For people, when something failed.
    pub complaint: Option<String>,
}

#[derive(Debug)]
pub enum Counted {
    /// A row with the suite's name.
    Whole(Tally),
    /// Rows with names of their own.
    Rows(Vec<Row>),
}

impl Verdict {
    pub const PASSED: Self = Self { counted: Counted::Whole(Tally::PASSED), complaint: None };

    /// What was read from the output, unless the exit code knows more.
    pub fn whole(execution: &Execution, tally: Tally) -> Self {
        let tally = tally.with_exit(execution.success);
        let complaint = (tally.failed > 0).then(|| execution.tail());
        Self { counted: Counted::Whole(tally), complaint }
    }

    /// A step without numbers: it succeeded or it did not.
    pub fn step(execution: &Execution) -> Self {
        Self::whole(execution, if execution.success { Tally::PASSED } else { Tally::FAILED })
    }
}
