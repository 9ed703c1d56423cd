//! Who holds the trust domain's own bundle: what each replica remembers of its agents, and what all of that amounts to.
//!
//! ```text
//!   agents ── syncs, reports ──▶ Memory (one per replica, lost with its process)
//!                                  │ answer(question)
//!                                  ▼
//!             the asking replica ── tally(answers) ──▶ AckState for lifecycle::plan
//! ```
//!
//! An agent that fetched the bundle over its own identity holds it, unless it says itself what it holds: then its word
//! counts. A bundle's sequence number only grows, so what an agent acknowledged to one replica needs no repetition to
//! another. A replica that is silent, or that has not listened for as long as an agent counts as alive, may know agents
//! that nobody else knows; it counts as missing itself.

mod memory;
mod tally;

pub use memory::{AGENTS_MAX, LIVE_SYNCS, LIVE_WITHIN, Memory, SYNC_INTERVAL};
pub use tally::{Answer, LISTED_MAX, LiveAgent, Question, Tally, tally};
