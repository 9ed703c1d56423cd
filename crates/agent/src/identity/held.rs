//! The agent's SVID as a value, and reading it back from disk.

use steeple_ca::{SigningKey, certificate};
use steeple_core::plugin::{KeyError, KeyManager, PrivateKey};
use steeple_core::{SpiffeId, Timestamp};

/// The two slots of the key manager, used in turn (SPIRE's names).
pub const KEY_IDS: [&str; 2] = ["agent-svid-A", "agent-svid-B"];

#[derive(Debug)]
pub struct AgentSvid {
    pub id: SpiffeId,
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    pub key: PrivateKey,
    /// The slot that holds the key.
    pub key_id: String,
    pub reattestable: bool,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the agent SVID cannot be read: {0}")]
    Unreadable(&'static str),
    #[error("key manager: {0}")]
    Keys(#[from] KeyError),
    #[error("the agent's key cannot be used: {0}")]
    Key(#[from] steeple_ca::KeyError),
}

impl AgentSvid {
    /// Reads dates and ID from the leaf.
    pub fn new(
        chain: Vec<Vec<u8>>,
        key: PrivateKey,
        key_id: String,
        reattestable: bool,
    ) -> Result<Self, IdentityError> {
        let leaf = chain.first().ok_or(IdentityError::Unreadable("it is empty"))?;
        let facts = certificate::facts(leaf).ok_or(IdentityError::Unreadable("malformed leaf"))?;
        let id = facts.spiffe_id.ok_or(IdentityError::Unreadable("it has no SPIFFE ID"))?;
        let (not_before, not_after) = (facts.not_before, facts.not_after);
        Ok(Self { id, chain, key, key_id, reattestable, not_before, not_after })
    }

    /// Finds the key that belongs to a stored chain; `None` when no slot holds it.
    pub async fn load(
        chain: Vec<Vec<u8>>,
        reattestable: bool,
        keys: &dyn KeyManager,
    ) -> Result<Option<Self>, IdentityError> {
        // Asked even when there is nothing to look for: whoever cannot read keys should say so before attesting.
        let held = keys.keys().await?;
        let Some(leaf) = chain.first() else { return Ok(None) };
        let wanted = certificate::facts(leaf).ok_or(IdentityError::Unreadable("malformed leaf"))?.public_key;
        for (key_id, key) in held {
            let matches = SigningKey::of(&key).is_ok_and(|known| known.public_key().spki() == wanted);
            if matches {
                return Self::new(chain, key, key_id, reattestable).map(Some);
            }
        }
        Ok(None)
    }

    /// Valid for long enough to be worth using.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.not_after.since(now) > USABLE_MARGIN
    }

    /// The slot that the next key goes to.
    pub fn next_key_id(current: Option<&Self>) -> &'static str {
        match current {
            Some(svid) if svid.key_id == KEY_IDS[0] => KEY_IDS[1],
            _ => KEY_IDS[0],
        }
    }
}

/// SPIRE's margin when it looks at a stored SVID.
const USABLE_MARGIN: std::time::Duration = std::time::Duration::from_secs(1);
