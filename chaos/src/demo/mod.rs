//! The demonstration: seven steps with real processes on loopback.
//!
//! ```text
//!   steps ── what is shown, in order          screen ── how it is printed
//!     └─ observer ── the events of ── workload     a process of its own, with clients that are not ours
//! ```

mod observer;
mod screen;
mod steps;
mod workload;

pub use steps::run;
pub use workload::{WorkloadArgs, run_workload};
