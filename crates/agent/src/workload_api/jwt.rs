//! Where JWT-SVIDs come from: the cache while a token is young, else the server, and the cache again when that fails.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::server::svid::NewJwtsvidRequest;
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_core::{Clock, Entry, Timestamp};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::cache::{CachedJwt, JwtCache, JwtKey, SingleFlight};
use crate::upstream::{CallTimes, Upstream, explained};

pub struct JwtSource {
    pub upstream: Arc<Upstream>,
    pub cache: Arc<JwtCache>,
    pub clock: Arc<dyn Clock>,
    /// How long a caller waits for a fresh token while a cached one is still valid.
    pub cache_hit_timeout: Option<Duration>,
    /// A start of many workloads asks the server once for each token.
    pub minting: SingleFlight<JwtKey, Result<Arc<CachedJwt>, Status>>,
}

impl JwtSource {
    /// A token for all of `audience`. Tokens with a `jti` are never shared, so they are never cached.
    pub async fn fetch(&self, entry: &Entry, audience: &[String]) -> Result<Arc<CachedJwt>, Status> {
        if entry.jwt_svid_include_jti {
            return self.mint_patiently(entry, audience).await.map(Arc::new);
        }
        let key = JwtKey::new(entry.spiffe_id.clone(), audience);
        match self.young(&key) {
            Some(token) => Ok(token),
            None => self.minting.run(key.clone(), || self.renew(entry, audience, key)).await,
        }
    }

    fn young(&self, key: &JwtKey) -> Option<Arc<CachedJwt>> {
        let now = self.clock.now();
        self.cache.get(key).filter(|token| !token.is_expired(now) && !token.is_stale(now))
    }

    async fn renew(&self, entry: &Entry, audience: &[String], key: JwtKey) -> Result<Arc<CachedJwt>, Status> {
        // Another caller's call may have ended after this one looked.
        if let Some(token) = self.young(&key) {
            return Ok(token);
        }
        let now = self.clock.now();
        let cached = self.cache.get(&key).filter(|token| !token.is_expired(now));
        let minted = match &cached {
            Some(_) => self.mint(entry, audience, self.cache_hit_timeout.unwrap_or(MINT_TIMEOUT)).await,
            None => self.mint_patiently(entry, audience).await,
        };
        match (minted, cached) {
            (Ok(token), _) => Ok(self.cache.put(key, token)),
            (Err(status), Some(token)) => {
                let spiffe_id = &entry.spiffe_id;
                tracing::warn!(%spiffe_id, error = explained(&status), "Unable to renew JWT; using cached copy");
                Ok(token)
            }
            (Err(status), None) => Err(status),
        }
    }

    /// Until a server answers: an election takes a second, and a workload that is refused may not ask again.
    async fn mint_patiently(&self, entry: &Entry, audience: &[String]) -> Result<CachedJwt, Status> {
        let give_up = Instant::now() + MINT_TIMEOUT;
        let mut pause = MINT_RETRY_PAUSE;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            match self.mint(entry, audience, left).await {
                Err(status) if status.code() == Code::Unavailable && pause < left => {
                    let error = explained(&status);
                    tracing::debug!(error, retry_interval = ?pause, "No server issues JWT-SVIDs; retrying");
                    tokio::time::sleep(pause).await;
                    pause = pause.mul_f64(1.5);
                }
                outcome => return outcome,
            }
        }
    }

    async fn mint(&self, entry: &Entry, audience: &[String], timeout: Duration) -> Result<CachedJwt, Status> {
        let call = |channel| {
            let request = NewJwtsvidRequest { entry_id: entry.id.clone(), audience: audience.to_vec() };
            async move { SvidClient::new(channel).new_jwtsvid(request).await }
        };
        let response = self.upstream.call(CallTimes::brief(timeout), call).await?.into_inner();
        let svid = response.svid.ok_or_else(|| Status::internal("the server sent no JWT-SVID"))?;
        if svid.issued_at == 0 || svid.expires_at == 0 || svid.issued_at > svid.expires_at {
            return Err(Status::new(Code::Internal, "JWTSVID issued after it has expired, or without dates"));
        }
        Ok(CachedJwt {
            key_id: key_id(&svid.token).unwrap_or_default(),
            token: svid.token,
            issued_at: Timestamp::from_secs(svid.issued_at),
            expires_at: Timestamp::from_secs(svid.expires_at),
        })
    }
}

/// The `kid` of a token that the server just made; unverified, and only used to forget it when that key is tainted.
fn key_id(token: &str) -> Option<String> {
    use base64::Engine as _;
    let header = token.split('.').next()?;
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).ok()?;
    let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
    Some(header.get("kid")?.as_str()?.to_owned())
}

/// SPIRE's limit.
const MINT_TIMEOUT: Duration = Duration::from_secs(30);
const MINT_RETRY_PAUSE: Duration = Duration::from_millis(100);
