//! The persisted SVIDs, sealed and not, for `crates/fuzz`.

use steeple_core::{Secret, Timestamp};

use super::Seal;
use super::kept::Kept;
use super::seal::SealError;
use crate::cache::{Cache, RotationRule};

/// Under the seal of `agent_key`.
pub fn unseal(agent_key: &Secret, cache: &Cache, sealed: &[u8]) -> Result<Secret, SealError> {
    Seal::of(agent_key)?.open(cache.trust_domain(), sealed)
}

/// Fills the cache from what lay under a seal, and tells how many SVIDs there are then.
pub fn restore(kept: &Secret, cache: &Cache, rotation: RotationRule, now: Timestamp) -> Option<usize> {
    Kept::parse(kept)?.restore(cache, rotation, now)
}

/// What would be sealed of this cache.
pub fn kept_of(cache: &Cache) -> Secret {
    Kept::of(cache).to_bytes()
}
