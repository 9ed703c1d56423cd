//! Faults that are planted into a model: what surrounds the real code decides a little differently. A model in which
//! they are not found proves nothing.

use std::fmt;

/// Which model, what is wrong, and the property that has to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mutant<F> {
    pub fault: F,
    pub finds: &'static str,
}

impl<F: fmt::Debug> fmt::Display for Mutant<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is found by \"{}\"", self.fault, self.finds)
    }
}
