//! The JSON that crosses the wire, and what both ends sign.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::json::Bytes;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Payload {
    /// In the SSH wire format.
    #[serde(default)]
    pub certificate: Bytes,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Challenge {
    #[serde(default)]
    pub nonce: Bytes,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Response {
    #[serde(default)]
    pub nonce: Bytes,
    #[serde(default)]
    pub signature: Option<Signature>,
}

/// RFC 4253, section 6.6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Signature {
    /// For instance `ssh-ed25519`.
    #[serde(default)]
    pub format: String,
    #[serde(default)]
    pub blob: Bytes,
    /// Of security keys only.
    #[serde(default)]
    pub rest: Option<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NonceError {
    #[error("invalid challenge nonce size")]
    Challenge,
    #[error("invalid response nonce size")]
    Response,
}

/// What is signed.
pub(super) fn combine(challenge: &[u8], response: &[u8]) -> Result<Vec<u8>, NonceError> {
    if challenge.len() != NONCE_BYTES {
        return Err(NonceError::Challenge);
    }
    if response.len() != NONCE_BYTES {
        return Err(NonceError::Response);
    }
    Ok(digest::digest(&digest::SHA256, &[challenge, response].concat()).as_ref().to_vec())
}

/// Bytes in a nonce, on both sides.
pub(super) const NONCE_BYTES: usize = 32;
