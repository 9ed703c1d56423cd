//! Federation: the own bundle shown to other trust domains, theirs fetched from them.
//!
//! ```text
//!   relationships (file ∪ state) ─► schedule ─► fetch (https_spiffe, https_web) ─► SetBundles ─► every replica
//!                                   the leader's driver, or whoever is asked to refresh
//!   own bundle (state) ─► endpoint (https_spiffe, https_web) ─► other trust domains
//! ```

mod endpoint;
mod fetch;
mod relationships;
mod schedule;

pub use endpoint::BundleEndpoint;
pub use fetch::{RefreshError, fetch};
pub use relationships::Relationships;
pub use schedule::{Difference, Schedule, interval, jittered};
