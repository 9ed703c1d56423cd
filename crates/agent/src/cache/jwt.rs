//! JWT-SVIDs, bounded, by identity and audience.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache as Lru;
use steeple_core::{SpiffeId, Timestamp};

/// Tokens are per identity and set of audiences; the order of the audiences does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JwtKey {
    pub spiffe_id: SpiffeId,
    audience: Vec<String>,
}

/// A bearer credential: no `Debug` of the token.
pub struct CachedJwt {
    pub token: String,
    pub key_id: String,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Holds at most a configured number, the least recently used leaving first.
pub struct JwtCache {
    tokens: Lru<JwtKey, Arc<CachedJwt>>,
}

impl JwtKey {
    pub fn new(spiffe_id: SpiffeId, audience: &[String]) -> Self {
        let mut audience = audience.to_vec();
        audience.sort_unstable();
        Self { spiffe_id, audience }
    }
}

impl CachedJwt {
    /// From half of its life on a token is replaced on demand (SPIRE behaviour).
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let half_life: Duration = self.expires_at.since(self.issued_at) / 2;
        now >= self.issued_at.saturating_add(half_life)
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}

impl JwtCache {
    pub fn new(tokens_max: usize) -> Self {
        Self { tokens: Lru::new(u64::try_from(tokens_max).unwrap_or(u64::MAX)) }
    }

    pub fn get(&self, key: &JwtKey) -> Option<Arc<CachedJwt>> {
        self.tokens.get(key)
    }

    pub fn put(&self, key: JwtKey, token: CachedJwt) -> Arc<CachedJwt> {
        let token = Arc::new(token);
        self.tokens.insert(key, Arc::clone(&token));
        token
    }

    /// Drops tokens signed with one of these keys.
    pub fn forget_keys(&self, key_ids: &[String]) {
        let doomed: Vec<JwtKey> = self
            .tokens
            .iter()
            .filter(|(_, token)| key_ids.contains(&token.key_id))
            .map(|(key, _)| (*key).clone())
            .collect();
        for key in doomed {
            self.tokens.invalidate(&key);
        }
    }

    pub fn len(&self) -> usize {
        self.tokens.run_pending_tasks();
        usize::try_from(self.tokens.entry_count()).unwrap_or(usize::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for CachedJwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CachedJwt(kid {}, expires at {})", self.key_id, self.expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_audiences_does_not_matter_and_tainted_keys_are_forgotten() {
        let cache = JwtCache::new(10);
        let id = SpiffeId::parse("spiffe://td/a").unwrap();
        let key = |audience: &[&str]| {
            JwtKey::new(id.clone(), &audience.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        };
        let at = Timestamp::from_secs;
        let token = CachedJwt { token: "t".into(), key_id: "k".into(), issued_at: at(0), expires_at: at(100) };
        let token = cache.put(key(&["a", "b"]), token);
        assert!(cache.get(&key(&["b", "a"])).is_some());
        assert!(cache.get(&key(&["a"])).is_none());
        assert!(
            !token.is_stale(at(49)) && token.is_stale(at(50)) && !token.is_expired(at(99)) && token.is_expired(at(100))
        );
        cache.forget_keys(&["other".into()]);
        assert_eq!(cache.len(), 1);
        cache.forget_keys(&["k".into()]);
        assert!(cache.is_empty());
    }
}
