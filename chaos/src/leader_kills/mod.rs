//! Leader kills under load, in two programs that share nothing but a file.
//!
//! ```text
//!   run ─┬─ load ── answer      clients with bounded load; each call and its answer go into the history
//!        │      └─ signing      what they sign for, and whether they got it
//!        └─ kill                the faults, drawn from one seed, and when each was over
//!              │ history.jsonl
//!   check ─┬─ read_back         every replica's entries, after the load
//!          ├─ judge             pure: history + what was read back -> violations
//!          └─ figures, report   gaps and rates, as a table and as JSON
//! ```
//!
//! A SIGKILL takes a process and leaves the page cache, and one dead replica leaves a quorum with everything. So a
//! server that acknowledges before its flush would pass any number of leader kills. Therefore the run ends with power
//! cuts: all replicas die at one instant and their logs lose what was never synced.

mod answer;
mod check;
mod figures;
mod history;
mod judge;
mod kept;
mod kill;
mod load;
mod options;
mod progress;
mod read_back;
mod report;
mod run;
mod self_test;
mod signing;

pub use check::check;
pub use options::{CheckArgs, RunArgs};
pub use run::run;
