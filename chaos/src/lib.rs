//! What happens to real processes when things go wrong.
//!
//! ```text
//!   alerts         every alert rule fires in a real Prometheus
//!   demo           the product in half a minute: three replicas, two agents, a workload, and the leader killed
//!   leader_kills   hundreds of leader kills under load; a history is kept, a checker judges it
//!   suite          every fault there is, under load, with agents attached: `chaos`
//!     ├─ register  its clients and the search for an order of what they saw
//!     └─ faults    network, clocks, disks
//! ```
//!
//! All start the programs through `steeple-testkit` and know nothing of their insides; only `faults::store` does, which
//! leaves there what a defect would.

pub mod alerts;
mod counts;
pub mod demo;
mod faults;
mod journal;
pub mod leader_kills;
mod meaning;
mod out_dir;
mod register;
mod sample;
mod signing;
pub mod suite;
