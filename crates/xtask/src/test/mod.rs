//! `cargo xtask test`: every suite, some of them in two lanes at the same time, and a table of what passed, what
//! failed, where a protocol double stood in for the real thing, and what could not run here.
//!
//! ```text
//!   plan.rs ── which suites, in which lanes          rust.rs ──┐
//!      │                                              go.rs     │ what each kind of suite starts,
//!   drive.rs ── runs them, counts, prints             python.rs ├─ and a pure reader of its output
//!      │                                              java.rs   │
//!   workshop.rs ── binaries, logs, tools              conformance/ ┘
//!      │
//!   execution.rs ── one process: log, time limit ── progress.rs
//! ```

mod alerts;
mod artifacts;
mod checks;
mod conformance;
mod demo;
mod drive;
mod execution;
mod go;
mod go_program;
mod java;
mod kubernetes;
mod older;
mod package;
mod plan;
mod progress;
mod python;
mod rust;
mod tally;
mod toolchain;
mod verdict;
mod workshop;

pub use conformance::update as update_conformance;
pub use drive::run;
pub use plan::Choice;
