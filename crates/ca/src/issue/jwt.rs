//! Signs JWT-SVIDs over the claims that SPIRE writes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use steeple_core::{KeyType, SpiffeId, Timestamp};

use super::IssueError;
use super::jws::{JwsSigner, SignedToken};
use crate::SigningKey;

/// A JWT key ready to sign.
#[derive(Debug)]
pub struct JwtIssuer {
    signer: JwsSigner,
    /// `jwt_issuer`.
    issuer: Option<String>,
}

/// What a caller wants to have attested, after all checks.
#[derive(Clone, Debug)]
pub struct JwtSvidRequest<'a> {
    pub spiffe_id: &'a SpiffeId,
    /// Blank ones are dropped, duplicates stay (SPIRE behaviour).
    pub audience: &'a [String],
    pub ttl: Duration,
    /// Sixteen random bytes if the entry asks for a `jti` claim.
    pub token_id: Option<[u8; 16]>,
}

/// In the order of the alphabet, as Go writes maps. Dates are plain integers; some verifiers refuse anything else.
#[derive(Serialize)]
struct Claims<'a> {
    aud: Vec<&'a str>,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
    sub: &'a str,
}

impl JwtIssuer {
    /// `key_id` becomes `kid`; no token outlives `not_after`.
    pub fn new(key: SigningKey, key_id: &str, not_after: Timestamp, issuer: Option<String>) -> Self {
        Self { signer: JwsSigner::new(key, key_id, "JWT", not_after), issuer }
    }

    pub fn key_type(&self) -> KeyType {
        self.signer.key_type()
    }

    pub fn not_after(&self) -> Timestamp {
        self.signer.not_after()
    }

    pub fn issue(&self, now: Timestamp, request: &JwtSvidRequest<'_>) -> Result<SignedToken, IssueError> {
        let aud: Vec<&str> = request.audience.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        if aud.is_empty() {
            return Err(IssueError::NoAudience);
        }
        let (issued_at, expires_at) = self.signer.lifetime(now, request.ttl)?;
        let token = self.signer.sign(&Claims {
            aud,
            exp: expires_at.as_secs(),
            iat: issued_at.as_secs(),
            iss: self.issuer.as_deref(),
            jti: request.token_id.map(|id| URL_SAFE_NO_PAD.encode(id)),
            sub: request.spiffe_id.as_str(),
        })?;
        Ok(SignedToken { spiffe_id: request.spiffe_id.clone(), token, issued_at, expires_at })
    }
}
