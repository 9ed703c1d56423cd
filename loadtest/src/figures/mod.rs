//! The figures that the project quotes, each with the command that prints it.

mod backup;
mod closed;
mod figure;
mod measures;
mod node;
mod scene;
mod usage;

pub use figure::{Output, print};
pub use measures::{Measure, Options, measure};
