//! What JWT-SVIDs and WIT-SVIDs have in common: compact JWS (RFC 7515, section 7.1) of one authority.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use steeple_core::{KeyType, SpiffeId, Timestamp};

use super::IssueError;
use crate::SigningKey;

/// A token that was issued.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedToken {
    pub spiffe_id: SpiffeId,
    /// A bearer credential, unless it names a key.
    pub token: String,
    /// Whole seconds, as in the token.
    pub issued_at: Timestamp,
    /// Whole seconds, as in the token.
    pub expires_at: Timestamp,
}

/// A key ready to sign tokens of one type.
#[derive(Debug)]
pub(super) struct JwsSigner {
    key: SigningKey,
    /// The encoded header, the same for every token, and the dot after it.
    header: String,
    not_after: Timestamp,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
    typ: &'a str,
}

impl JwsSigner {
    /// `key_id` becomes `kid`; no token outlives `not_after`.
    pub(super) fn new(key: SigningKey, key_id: &str, typ: &str, not_after: Timestamp) -> Self {
        let header = encode(&Header { alg: key.jws_algorithm(), kid: key_id, typ }) + ".";
        Self { key, header, not_after }
    }

    pub(super) fn key_type(&self) -> KeyType {
        self.key.key_type()
    }

    pub(super) fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// When a token that is asked for at `now` begins and ends, in whole seconds.
    pub(super) fn lifetime(&self, now: Timestamp, ttl: Duration) -> Result<(Timestamp, Timestamp), IssueError> {
        if now >= self.not_after {
            return Err(IssueError::AuthorityExpired);
        }
        let expires_at = Timestamp::from_secs(now.saturating_add(ttl).min(self.not_after).as_secs());
        Ok((Timestamp::from_secs(now.as_secs()), expires_at))
    }

    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, IssueError> {
        let mut token = self.header.clone() + &encode(claims);
        let signature = self.key.sign_jws(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

fn encode(part: &impl Serialize) -> String {
    // Structs of strings and integers always serialize.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

impl std::fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedToken({}, expires at {})", self.spiffe_id, self.expires_at)
    }
}
