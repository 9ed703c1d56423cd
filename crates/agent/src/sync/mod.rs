//! Keeping up with the servers.
//!
//! ```text
//!   push, or fetch ── entries and bundles ──▶ arrivals ──▶ cache
//!   plan(held, wanted, now) ──▶ what to mint, what to drop, when to look again
//!   mint ── CSRs in batches ──▶ cache
//!   report ── which bundle is served ──▶ server
//! ```

mod arrivals;
mod awaited;
mod fetch;
mod mint;
mod plan;
mod push;
mod report;
mod run;
mod taint;

pub use arrivals::Arrivals;
pub use awaited::Awaited;
pub use fetch::{FetchError, fetch_anonymous_bundle, fetch_bundles, fetch_entries, parse_entry};
pub use mint::{Minter, random_fraction};
pub use plan::{Plan, plan};
pub use push::{PushDriver, PushSession, Sessions};
pub use report::StatusReporter;
pub use run::SyncDriver;
pub use taint::{is_tainted, tainted_key_ids};
