//! Where JWT-SVIDs come from: the cache while a token is young, else the server, and the cache again when that fails.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::server::svid::NewJwtsvidRequest;
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_core::{Clock, Entry, Timestamp};
use tonic::{Code, Status};

use crate::cache::{CachedJwt, JwtCache, JwtKey};
use crate::upstream::Upstream;

pub struct JwtSource {
    pub upstream: Arc<Upstream>,
    pub cache: Arc<JwtCache>,
    pub clock: Arc<dyn Clock>,
    /// How long a caller waits for a fresh token while a cached one is still valid.
    pub cache_hit_timeout: Option<Duration>,
}

impl JwtSource {
    /// A token for all of `audience`. Tokens with a `jti` are never shared, so they are never cached.
    pub async fn fetch(&self, entry: &Entry, audience: &[String]) -> Result<Arc<CachedJwt>, Status> {
        let key = JwtKey::new(entry.spiffe_id.clone(), audience);
        let now = self.clock.now();
        let cached = self.cache.get(&key).filter(|token| !token.is_expired(now) && !entry.jwt_svid_include_jti);
        if let Some(token) = cached.as_ref().filter(|token| !token.is_stale(now)) {
            return Ok(Arc::clone(token));
        }
        let timeout = match (&cached, self.cache_hit_timeout) {
            (Some(_), Some(timeout)) => timeout,
            _ => MINT_TIMEOUT,
        };
        match self.mint(entry, audience, timeout).await {
            Ok(token) if entry.jwt_svid_include_jti => Ok(Arc::new(token)),
            Ok(token) => Ok(self.cache.put(key, token)),
            Err(status) => match cached {
                Some(token) => {
                    let spiffe_id = &entry.spiffe_id;
                    tracing::warn!(%spiffe_id, error = %status, "Unable to renew JWT; using cached copy");
                    Ok(token)
                }
                None => Err(status),
            },
        }
    }

    async fn mint(&self, entry: &Entry, audience: &[String], timeout: Duration) -> Result<CachedJwt, Status> {
        let call = |channel| {
            let request = NewJwtsvidRequest { entry_id: entry.id.clone(), audience: audience.to_vec() };
            async move { SvidClient::new(channel).new_jwtsvid(request).await }
        };
        let response = self.upstream.call(timeout, call).await?.into_inner();
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

const MINT_TIMEOUT: Duration = Duration::from_secs(30);
