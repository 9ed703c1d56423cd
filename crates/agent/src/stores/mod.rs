//! SVIDs for those who cannot ask: entries with `store_svid` go to an SVID store and never to the Workload API.
//!
//! ```text
//!   cache ── storable entries, SVIDs, bundles ──▶ claims (which place is whose, pure)
//!                                                   │
//!   records (what each place has and should have, what is due when: pure) ◀──┘
//!      │ due                  ▲ done, failed
//!      └──▶ driver ── put, delete ──▶ SvidStore
//! ```

mod claims;
mod driver;
mod records;
#[cfg(test)]
mod tests;

pub use claims::{Claim, Content, Refusal, STORED_MAX, Slot, Stores, age};
pub use driver::StoreDriver;
pub use records::{Due, Records};
