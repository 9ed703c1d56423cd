//! Whole clusters from one seed. The real server, the real openraft and the real RocksDB run on one thread over a
//! simulated network ([turmoil]), clocks that the simulation sets, and disks that lose what was not synced.
//!
//! ```text
//!   seed ─▶ Plan (pure): how many servers, how slow, what goes wrong and when
//!             │
//!             ▼
//!   run ── step ─▶ turmoil ─▶ server 1..n: Surroundings { clock, wire, disk }    server.rs, clock.rs, wire.rs, disk.rs
//!    │                └─────▶ clients: writers, readers, agents, an operator     clients/
//!    │                             └─▶ Ledger: what was asked, what was answered ledger/: pure
//!    ├─ after every step: what has to hold at each instant                       watch/
//!    └─ faults end, and then everybody has to agree within HEAL_MAX ─▶ Verdict ─▶ campaign/: many seeds
//! ```
//!
//! A seed determines the cluster, the faults with their times, the network and the clients' dice. It does not determine
//! keys and nonces, openraft's election timeouts and the order in which hash maps are walked: two runs of one seed are
//! alike rather than equal. A seed that failed is run again with its schedule, and usually fails again.

pub mod campaign;
pub mod clients;
mod clock;
mod disk;
pub mod fault;
pub mod ledger;
mod node;
pub mod plan;
mod progress;
mod run;
mod server;
mod verdict;
mod watch;
mod wire;
mod world;

pub use plan::Plan;
pub use progress::Progress;
pub use run::run;
pub use verdict::{Finding, Verdict};
