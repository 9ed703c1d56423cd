//! JWT-SVIDs, bounded, by identity and audience.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use moka::policy::EvictionPolicy;
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
        let tokens_max = u64::try_from(tokens_max).unwrap_or(u64::MAX);
        // By default moka prefers what is asked for often, and would not take a new token into a full cache.
        Self { tokens: Lru::builder().max_capacity(tokens_max).eviction_policy(EvictionPolicy::lru()).build() }
    }

    pub fn get(&self, key: &JwtKey) -> Option<Arc<CachedJwt>> {
        self.tokens.get(key)
    }

    pub fn put(&self, key: JwtKey, token: CachedJwt) -> Arc<CachedJwt> {
        let token = Arc::new(token);
        self.tokens.insert(key, Arc::clone(&token));
        // Otherwise what has to leave stays until later.
        self.tokens.run_pending_tasks();
        token
    }

    /// Drops tokens signed with one of these keys, and returns how many of each.
    pub fn forget_keys(&self, key_ids: &BTreeSet<String>) -> BTreeMap<String, usize> {
        let mut forgotten = BTreeMap::new();
        if key_ids.is_empty() {
            return forgotten;
        }
        let tokens = self.tokens.iter().filter(|(_, token)| key_ids.contains(&token.key_id));
        let doomed: Vec<(JwtKey, String)> = tokens.map(|(key, token)| ((*key).clone(), token.key_id.clone())).collect();
        for (key, key_id) in doomed {
            self.tokens.invalidate(&key);
            *forgotten.entry(key_id).or_default() += 1;
        }
        forgotten
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

    fn key(audience: &[&str]) -> JwtKey {
        let audience: Vec<String> = audience.iter().map(|name| (*name).to_owned()).collect();
        JwtKey::new(SpiffeId::parse("spiffe://td/a").unwrap(), &audience)
    }

    fn token() -> CachedJwt {
        let at = Timestamp::from_secs;
        CachedJwt { token: "t".into(), key_id: "k".into(), issued_at: at(0), expires_at: at(100) }
    }

    #[test]
    fn the_order_of_audiences_does_not_matter_and_tainted_keys_are_forgotten() {
        let cache = JwtCache::new(10);
        let at = Timestamp::from_secs;
        let token = cache.put(key(&["a", "b"]), token());
        assert!(cache.get(&key(&["b", "a"])).is_some());
        assert!(cache.get(&key(&["a"])).is_none());
        assert!(
            !token.is_stale(at(49)) && token.is_stale(at(50)) && !token.is_expired(at(99)) && token.is_expired(at(100))
        );
        let forget = |key_ids: &[&str]| cache.forget_keys(&key_ids.iter().map(ToString::to_string).collect());
        assert!(forget(&["other"]).is_empty());
        assert_eq!(cache.len(), 1);
        assert_eq!(forget(&["k", "other"]), BTreeMap::from([("k".to_owned(), 1)]));
        assert!(cache.is_empty());
    }

    #[test]
    fn a_full_cache_drops_the_token_that_was_used_longest_ago() {
        let cache = JwtCache::new(2);
        for audience in ["a", "b"] {
            cache.put(key(&[audience]), token());
        }
        for _ in 0..5 {
            assert!(cache.get(&key(&["a"])).is_some());
        }
        cache.put(key(&["c"]), token());
        let held = ["a", "b", "c"].map(|audience| cache.get(&key(&[audience])).is_some());
        assert_eq!(held, [true, false, true]);
        cache.put(key(&["d"]), token());
        let held = ["a", "c", "d"].map(|audience| cache.get(&key(&[audience])).is_some());
        assert_eq!(held, [false, true, true], "however often it was used before");
    }
}
