//! Signs JWT-SVIDs: compact JWS (RFC 7515, section 7.1) over the claims that SPIRE writes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use steeple_core::{KeyType, SpiffeId, Timestamp};

use super::IssueError;
use crate::SigningKey;

/// A JWT key ready to sign.
#[derive(Debug)]
pub struct JwtIssuer {
    key: SigningKey,
    /// The encoded header, the same for every token, and the dot after it.
    header: String,
    not_after: Timestamp,
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

#[derive(Clone, PartialEq, Eq)]
pub struct JwtSvid {
    pub spiffe_id: SpiffeId,
    /// A bearer credential.
    pub token: String,
    /// Whole seconds, as in the token.
    pub issued_at: Timestamp,
    /// Whole seconds, as in the token.
    pub expires_at: Timestamp,
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

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

impl JwtIssuer {
    /// `key_id` becomes `kid`; no token outlives `not_after`.
    pub fn new(key: SigningKey, key_id: &str, not_after: Timestamp, issuer: Option<String>) -> Self {
        let header = encode(&Header { alg: key.jws_algorithm(), kid: key_id, typ: "JWT" }) + ".";
        Self { key, header, not_after, issuer }
    }

    pub fn key_type(&self) -> KeyType {
        self.key.key_type()
    }

    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    pub fn issue(&self, now: Timestamp, request: &JwtSvidRequest<'_>) -> Result<JwtSvid, IssueError> {
        let aud: Vec<&str> = request.audience.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        if aud.is_empty() {
            return Err(IssueError::NoAudience);
        }
        if now >= self.not_after {
            return Err(IssueError::AuthorityExpired);
        }
        let issued_at = Timestamp::from_secs(now.as_secs());
        let expires_at = Timestamp::from_secs(now.saturating_add(request.ttl).min(self.not_after).as_secs());
        let claims = Claims {
            aud,
            exp: expires_at.as_secs(),
            iat: issued_at.as_secs(),
            iss: self.issuer.as_deref(),
            jti: request.token_id.map(|id| URL_SAFE_NO_PAD.encode(id)),
            sub: request.spiffe_id.as_str(),
        };
        let mut token = self.header.clone() + &encode(&claims);
        let signature = self.key.sign_jws(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(JwtSvid { spiffe_id: request.spiffe_id.clone(), token, issued_at, expires_at })
    }
}

fn encode(part: &impl Serialize) -> String {
    // Structs of strings and integers always serialize.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

impl std::fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JwtSvid({}, expires at {})", self.spiffe_id, self.expires_at)
    }
}
