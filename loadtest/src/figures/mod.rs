//! The figures that the project quotes, each with the command that prints it.

mod backup;
mod figure;
mod measures;
mod scene;

pub use figure::{Output, print};
pub use measures::{Measure, Options, measure};
