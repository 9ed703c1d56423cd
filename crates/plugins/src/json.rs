//! JSON as Go's `encoding/json` reads and writes it: what is null, or not there, is empty.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a message is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("more than {MESSAGE_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
}

/// Whoever sends it has proved nothing yet.
pub(crate) fn read<T: DeserializeOwned>(message: &[u8]) -> Result<T, JsonError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(JsonError::TooLarge);
    }
    Ok(serde_json::from_slice(message)?)
}

pub(crate) fn or_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A `[]byte`: standard base64; `null` is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<Cow<'_, str>>::deserialize(deserializer)?.unwrap_or_default();
        STANDARD.decode(text.as_bytes()).map(Bytes).map_err(serde::de::Error::custom)
    }
}

/// Tokens and certificates have a few KiB.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
