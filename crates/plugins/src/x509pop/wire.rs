//! The JSON that crosses the wire.

use serde::{Deserialize, Serialize};

use crate::json::{Bytes, or_empty};

#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    #[serde(default, deserialize_with = "or_empty")]
    pub certificates: Vec<Bytes>,
}

/// Exactly one member is set, by the kind of the certificate's key.
#[derive(Serialize, Deserialize)]
pub(super) struct Challenge {
    #[serde(default)]
    pub rsa_signature: Option<Nonce>,
    #[serde(default)]
    pub ecdsa_signature: Option<Nonce>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Nonce {
    pub nonce: Bytes,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Response {
    #[serde(default)]
    pub rsa_signature: Option<RsaProof>,
    #[serde(default)]
    pub ecdsa_signature: Option<EcdsaProof>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RsaProof {
    #[serde(default)]
    pub nonce: Bytes,
    #[serde(default)]
    pub signature: Bytes,
}

/// `r` and `s` are big-endian without leading zeros.
#[derive(Serialize, Deserialize)]
pub(super) struct EcdsaProof {
    #[serde(default)]
    pub nonce: Bytes,
    #[serde(default)]
    pub r: Bytes,
    #[serde(default)]
    pub s: Bytes,
}
