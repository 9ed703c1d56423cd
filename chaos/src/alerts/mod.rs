//! The shipped alert rules in a real Prometheus, every duration divided by 60, and real faults that make them fire.
//!
//! ```text
//!   run ─┬─ scene ── act   faults, and the alerts that each has to bring
//!        ├─ place           three replicas, an agent and who writes, all scraped
//!        │    ├─ node       who asks for SVIDs
//!        │    ├─ late       who acknowledges late
//!        │    ├─ crowd      too many who knock or write
//!        │    └─ neighbour  trust domains of one server, with an upstream authority, backups, federation
//!        └─ board           what fired, when and how; report.json
//! ```

mod act;
mod board;
mod crowd;
mod late;
mod neighbour;
mod node;
mod place;
mod run;
mod scene;

pub use run::{AlertsArgs, run};
