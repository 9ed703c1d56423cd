//! Load on running programs, and what they make of it.
//!
//! ```text
//!   cli ── scenario/ ──┬─ target/    a server that is started for the run, or runs already; its entries
//!                      ├─ fleet/     simulated agents: x509pop, one mutual TLS connection each, SPIRE's timers
//!                      ├─ load/      closed and open loops, schedules, histograms: pure, or nearly so
//!                      ├─ gates/     what has to hold for figures to count
//!                      ├─ report/    readings, use of the machine, tables, JSON, comparisons
//!                      └─ usage      CPU time and memory, from /proc
//!   figures/           memory and start of programs that do nothing, and backups
//! ```
//!
//! A scenario is a short story told in these words. What one of them calls is never slower for being measured: keys,
//! CSRs and connections are made beforehand.

pub mod cli;
pub mod figures;
mod fleet;
mod gates;
mod load;
mod report;
mod scenario;
mod target;
mod usage;
