//! `persist_svids`: what workloads are served, sealed on disk, so that an agent that starts while no server answers
//! serves at once, and one that starts beside its server asks for nothing that it has.
//!
//! ```text
//!   cache ── changed ──▶ driver ── Kept (entries, bundles, SVIDs with keys) ── Seal ──▶ agent-svids.sealed
//!   cache ◀── restore ── of it what has not expired  ◀─────────────────────────┘
//! ```
//!
//! The file is sealed under a key that is derived from the agent's own private key: without that it is worthless, and
//! with another identity of the agent it is gone. Nothing in it is trusted before its seal has held.

mod driver;
mod file;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod kept;
mod seal;

pub use driver::{PersistDriver, SealSlot};
pub use file::PersistedFile;
pub use seal::Seal;
