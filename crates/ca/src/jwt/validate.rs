//! Validates a JWT-SVID as SPIRE's agent does, in the same order and with the same reasons (the Workload API passes
//! them on to callers).

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use steeple_core::{IdError, SpiffeId, Timestamp, TrustDomain};

use super::JwtKeySet;
use super::header::Header;

#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedJwtSvid {
    pub spiffe_id: SpiffeId,
    /// All claims as they came, except that `aud` is always a list.
    pub claims: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    #[error("unable to parse JWT token: {0}")]
    Parse(String),
    #[error("token header missing key id")]
    MissingKeyId,
    #[error("token missing subject claim")]
    MissingSubject,
    #[error("token missing exp claim")]
    MissingExpiry,
    #[error("token has in invalid subject claim: {0}")]
    BadSubject(IdError),
    #[error("no keys found for trust domain {:?}", .0.name())]
    UnknownTrustDomain(TrustDomain),
    #[error("public key {key_id:?} not found in trust domain {:?}", .trust_domain.name())]
    UnknownKey { key_id: String, trust_domain: TrustDomain },
    #[error("go-jose/go-jose: unsupported critical header")]
    NotUnderstood,
    #[error("go-jose/go-jose: error in cryptographic primitive")]
    Signature,
    #[error("expected audience in {} (audience={})", quoted(.expected), quoted(.actual))]
    Audience { expected: Vec<String>, actual: Vec<String> },
    #[error("go-jose/go-jose/jwt: validation failed, token not valid yet (nbf)")]
    NotYetValid,
    #[error("token has expired")]
    Expired,
    #[error("go-jose/go-jose/jwt: validation field, token issued in the future (iat)")]
    IssuedInTheFuture,
}

/// The claims that are looked at.
struct Claims {
    subject: String,
    audience: Vec<String>,
    expires_at: i64,
    not_before: Option<i64>,
    issued_at: Option<i64>,
}

/// Checks signature, audience (one of `audience` must be named) and dates, the latter with [`LEEWAY`].
pub fn validate(
    token: &str,
    audience: &[String],
    now: Timestamp,
    keys: &JwtKeySet,
) -> Result<ValidatedJwtSvid, JwtError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JwtError::Parse(format!("token has more than {TOKEN_BYTES_MAX} bytes")));
    }
    let token = without_line_ends(token);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err(JwtError::Parse("go-jose/go-jose: compact JWS format must have three parts".to_owned()));
    };
    if let Some(at) = parts.iter().find_map(|part| base64url_fault(part.as_bytes())) {
        return Err(JwtError::Parse(format!("illegal base64 data at input byte {at}")));
    }
    let Header { algorithm, key_id, is_understood } = Header::read(header)?;
    if key_id.is_empty() {
        return Err(JwtError::MissingKeyId);
    }
    let mut stated = read_payload(payload)?;
    let claims = Claims::read(&stated)?;
    let spiffe_id = SpiffeId::parse(&claims.subject).map_err(JwtError::BadSubject)?;
    let trust_domain = spiffe_id.trust_domain();
    let Some(domain_keys) = keys.domain(&trust_domain) else {
        return Err(JwtError::UnknownTrustDomain(trust_domain));
    };
    let Some(key) = domain_keys.get(&key_id) else { return Err(JwtError::UnknownKey { key_id, trust_domain }) };
    if !is_understood {
        return Err(JwtError::NotUnderstood);
    }
    let message = &token[..header.len() + 1 + payload.len()];
    if !key.signed(algorithm, message, signature) {
        return Err(JwtError::Signature);
    }
    claims.check(audience, now)?;
    if stated.contains_key("aud") {
        stated.insert("aud".into(), claims.audience.into());
    }
    Ok(ValidatedJwtSvid { spiffe_id, claims: stated })
}

/// A token that was read from a file may end with one; Go's base64 skips them.
fn without_line_ends(token: &str) -> Cow<'_, str> {
    const LINE_ENDS: [char; 2] = ['\r', '\n'];
    if token.contains(LINE_ENDS) { token.replace(LINE_ENDS, "").into() } else { token.into() }
}

/// Where a part of a token is no unpadded base64url, counted as Go does.
fn base64url_fault(part: &[u8]) -> Option<usize> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let foreign = part.iter().position(|byte| !allowed(byte));
    // A single character past a group of four holds no byte.
    foreign.or_else(|| (part.len() % 4 == 1).then(|| part.len() - 1))
}

/// What a caller may see of a token from a foreign trust domain: `sub`, `exp`, `aud` and what the agent's
/// `allowed_foreign_jwt_claims` names.
pub fn keep_allowed_claims(claims: &mut Map<String, Value>, allowed: &[String]) {
    claims.retain(|name, _| matches!(name.as_str(), "sub" | "exp" | "aud") || allowed.contains(name));
}

fn read_payload(payload: &str) -> Result<Map<String, Value>, JwtError> {
    let malformed = || JwtError::Parse("payload is not a JSON object".into());
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed())?;
    serde_json::from_slice(&payload).map_err(|_| malformed())
}

impl Claims {
    fn read(payload: &Map<String, Value>) -> Result<Self, JwtError> {
        let bad = |claim: &str| JwtError::Parse(format!("claim {claim:?} has the wrong type"));
        let date = |claim: &str| match payload.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => whole_seconds(value).map(Some).ok_or_else(|| bad(claim)),
        };
        let subject = match payload.get("sub") {
            None | Some(Value::Null) => String::new(),
            Some(value) => value.as_str().ok_or_else(|| bad("sub"))?.to_owned(),
        };
        if subject.is_empty() {
            return Err(JwtError::MissingSubject);
        }
        let audience = match payload.get("aud") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(several)) => {
                let names = several.iter().map(|name| name.as_str().map(str::to_owned));
                names.collect::<Option<_>>().ok_or_else(|| bad("aud"))?
            }
            Some(_) => return Err(bad("aud")),
        };
        Ok(Self {
            subject,
            audience,
            expires_at: date("exp")?.ok_or(JwtError::MissingExpiry)?,
            not_before: date("nbf")?,
            issued_at: date("iat")?,
        })
    }

    fn check(&self, expected: &[String], now: Timestamp) -> Result<(), JwtError> {
        if !expected.iter().any(|name| self.audience.contains(name)) {
            return Err(JwtError::Audience { expected: expected.to_vec(), actual: self.audience.clone() });
        }
        let (earliest, latest) = (now.saturating_sub(LEEWAY), now.saturating_add(LEEWAY));
        if self.not_before.is_some_and(|at| latest < Timestamp::from_secs(at)) {
            return Err(JwtError::NotYetValid);
        }
        if earliest > Timestamp::from_secs(self.expires_at) {
            return Err(JwtError::Expired);
        }
        if self.issued_at.is_some_and(|at| latest < Timestamp::from_secs(at)) {
            return Err(JwtError::IssuedInTheFuture);
        }
        Ok(())
    }
}

/// A NumericDate (RFC 7519, section 2) may have a fraction, which is cut off.
fn whole_seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|secs| secs.is_finite()).map(|secs| secs as i64))
}

/// As Go prints a list of strings with `%q`.
pub(super) fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

/// How far a token's dates may be off, for clocks that disagree (SPIRE behaviour).
pub const LEEWAY: Duration = Duration::from_secs(60);
/// HTTP servers refuse headers far below this.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;
