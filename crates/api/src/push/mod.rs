//! What both ends of a push stream (`steeple.agent.v1`) compute, over values: the hash of an agent's set, and the way
//! from one set to another.
//!
//! ```text
//!   agent:  Held ── Hello, Ack ──▶ set hash                    server:  its own AgentSet ── difference ──▶ Change
//!            ▲                                                                                              │
//!            └────────────────────────── Held::change ◀────────────────────────────────────────────────────┘
//! ```

mod difference;
mod held;
mod set;

pub use difference::{Difference, difference};
pub use held::{Held, Piece};
pub use set::{AgentSet, BundleDigest, EntryVersion, HASH_BYTES, SetHash, bundle_digest, set_hash};

use crate::types;

/// The version of the protocol that this release speaks.
pub const PROTOCOL: u32 = 1;

/// The fields of entries that agents need: no parent, TTLs or DNS names, which are the server's business.
pub fn entry_mask() -> types::EntryMask {
    types::EntryMask {
        spiffe_id: true,
        selectors: true,
        federates_with: true,
        admin: true,
        downstream: true,
        revision_number: true,
        store_svid: true,
        hint: true,
        additional_attributes: true,
        created_at: true,
        ..types::EntryMask::default()
    }
}
