//! What the agent holds in memory, and the view that each workload has of it.
//!
//! ```text
//!   sync ── set_entries, set_bundles, put_svid ──▶ Cache ── changed ──▶ streams look again
//!                                                    └── view(selectors) ─▶ WorkloadView
//! ```
//!
//! A workload may have an entry if the entry's selectors are a subset of the workload's. Identities are ordered by
//! entry id; the first is a workload's default.

mod jwt;
mod single_flight;
mod store;
#[cfg(test)]
pub(crate) use store::tests;
mod svid;
mod view;
mod views;

pub use jwt::{CachedJwt, JwtCache, JwtKey};
pub use single_flight::SingleFlight;
pub use store::{Cache, EntryState, Subscription};
pub use svid::{RotationRule, X509Svid};
pub use view::{Readiness, WorkloadIdentity, WorkloadView, are_same, of_spiffe_id, without_duplicate_hints};
pub use views::Views;
