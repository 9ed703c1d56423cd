//! What happens to real processes when things go wrong.
//!
//! ```text
//!   demo           the product in half a minute: three replicas, two agents, a workload, and the leader killed
//!   leader_kills   hundreds of leader kills under load; a history is kept, a checker judges it
//! ```
//!
//! Both start the programs through `steeple-testkit` and know nothing of their insides.

pub mod demo;
pub mod leader_kills;
