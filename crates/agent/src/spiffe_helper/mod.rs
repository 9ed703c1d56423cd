//! spiffe-helper: SVIDs and bundles in files, for programs that read nothing else, and a signal when they change.
//!
//! ```text
//!   run.rs ── configuration, log, signals
//!     └ follow.rs, once.rs ── the Workload API ─▶ content.rs (what belongs in which file) ─▶ files
//!                                                    dependents.rs (start or signal) ◀───────┤
//!                                                    written.rs ─▶ health over HTTP  ◀───────┘
//! ```
//!
//! Files that belong together change together: all are written beside their places before the first takes its name,
//! and whoever is signalled finds the new ones.

mod content;
mod dependents;
mod follow;
mod once;
mod run;
mod write;
mod written;

pub use run::{FLAGS, run};
