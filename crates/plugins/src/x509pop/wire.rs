//! The JSON that crosses the wire. Byte fields are standard base64, as Go's `encoding/json` writes `[]byte`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    #[serde(default)]
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

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<std::borrow::Cow<'_, str>>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(text.as_bytes()).map(Bytes).map_err(serde::de::Error::custom)
    }
}
