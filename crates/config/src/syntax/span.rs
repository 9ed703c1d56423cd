//! Where something stands in a file.

use std::fmt;

/// A place in a file: line and column count from one, the column in characters. JSON nodes have no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub line: u32,
    pub column: u32,
}

impl Span {
    /// For trees that come from JSON or were built in memory.
    pub const UNKNOWN: Self = Self { line: 0, column: 0 };

    pub fn is_known(self) -> bool {
        self.line > 0
    }
}

impl fmt::Display for Span {
    /// `12:5`, as HCL's own errors have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
