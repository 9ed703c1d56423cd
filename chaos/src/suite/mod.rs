//! The fault suite: round after round, each with a cluster of its own on which every fault is inflicted once, while
//! clients keep a history and workloads on two agents show each other their SVIDs.
//!
//! ```text
//!   run ── options                what is asked for
//!    ├─ ledger                    rounds that are done, so that a long run goes on where it stopped
//!    └─ round ─┬─ site            a cluster of which everything can be broken
//!              ├─ stage ── fault  one after the other: happens, is seen, is undone, all is well again
//!              │     └─ partitions, processes, membership, disks, clocks
//!              ├─ rotation        the CA is replaced, with trouble for the leader at each step
//!              ├─ restore         all disks are gone, and a backup becomes a new cluster
//!              ├─ workloads       whoever is shown an SVID can verify it
//!              │     └─ tokens    or a JWT-SVID
//!              └─ report          of the history alone
//!                    └─ slack     how long before its first use an authority was known
//! ```
//!
//! A fault that was not seen fails the run, and so does a cluster that stood still.

mod aimed;
mod bits;
mod clocks;
mod disks;
mod fault;
mod ledger;
mod membership;
mod options;
mod partitions;
mod processes;
mod report;
mod restore;
mod rotation;
mod round;
mod run;
pub(crate) mod site;
mod slack;
mod stage;
mod tokens;
mod workloads;

pub use crate::faults::set_apart;
pub use options::SuiteArgs;
pub use run::run;
