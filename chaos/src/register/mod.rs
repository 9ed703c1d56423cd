//! Entries as registers: many clients write and read few entries through all replicas, and whether their answers fit
//! one order is checked afterwards.
//!
//! ```text
//!   clients ── history ──▶ file ──▶ operations ──▶ linearize ── model
//! ```
//!
//! An entry's hint is the register's value. Each value is written once, so that a read tells which write it saw.

mod clients;
mod figures;
mod history;
mod linearize;
mod model;
mod operations;
mod verdict;

pub(crate) use clients::{Clients, registers};
pub(crate) use figures::{FaultFigures, Figures};
pub(crate) use history::{Line, Recorder};
pub(crate) use verdict::Verdict;
