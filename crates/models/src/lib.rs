//! Models that are checked in every order of events, within small bounds, around the code that decides.
//!
//! ```text
//!   machine.rs    the real `state::State`, every snapshot of which is kept once; a model's state holds its log
//!   check.rs      searches a model's states, all of them, and tells what was found
//!   mutant.rs     small faults of what surrounds the real code; each must be found
//!
//!   join_token    tokens, retries, leaders that die
//!   ban           bans against renewals, promotions and signatures on replicas that lag or were deposed
//!   rotation      `ca::lifecycle::plan` and `ca::acknowledgement` over replicas that crash and agents that move
//!   node_id       ids of members, disks that are wiped and come back, the leader's care for the membership
//! ```
//!
//! What is real in each is named at its top; the rest is an abstract network and an abstract log: whoever leads
//! appends, what is committed is committed for good, and a change of the leader keeps or loses what was not.
//! `docs/reliability.md` says what that leaves out.

pub mod ban;
pub mod check;
mod founded;
pub mod join_token;
mod machine;
pub mod mutant;
pub mod node_id;
pub mod rotation;

pub use check::{Found, Report, Scenario, check, hunt};
pub use mutant::Mutant;
