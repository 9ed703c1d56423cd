//! How often a caller on the network may ask for what is dear: SPIRE's numbers, texts and waiting.
//!
//! ```text
//!   method ── table (a row per limited RPC) ──▶ limiter of its kind ── buckets, one per caller ── token bucket
//!                                                                                                     │
//!   call: one token before the handler;  batch: a token for each item, by the handler ◀── waits, or a status
//! ```
//!
//! An agent has its own share wherever it calls from, so that agents behind one NAT address or load balancer do not
//! starve each other; whoever has not been authorized by its ID shares with its address, as in SPIRE.

mod allowance;
mod buckets;
mod limiter;
mod table;

pub use allowance::Allowance;
pub use limiter::RateLimits;
pub use table::{Charge, LIMITS, Limit, LimitKind, limit};
