//! Hostile bytes for every parser that sees the network or a disk.
//!
//! ```text
//!   target.rs    a target: its name, its body, and inputs that its body reads
//!   targets/     the bodies, by where the bytes come from
//!   allocation   how much memory reading may take, counted
//!
//!   tests/promises.rs      each body on stable: its seeds, the committed corpus, damaged and random bytes
//!   bin/libfuzzer.rs       the same bodies under libFuzzer, instrumented; one program, the target is a variable
//!   bin/fuzz.rs            runs that program on each target, counts, goes on where it stopped (campaign/)
//! ```
//!
//! A body does more than survive: what it read must come back the same when it is written and read again, two readers
//! of one form must agree, and reading may take only a stated multiple of the input in memory.

mod allocation;
pub mod campaign;
mod target;
pub mod targets;

pub use allocation::within;
pub use target::{TARGETS, Target, Verdict, corpus_of, find};
