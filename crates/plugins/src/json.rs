//! JSON as Go's `encoding/json` reads and writes it: what is null, or not there, is empty.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use steeple_core::json_syntax_error;

/// Why a message is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("more than {MESSAGE_BYTES_MAX} bytes")]
    TooLarge,
    /// In Go's words.
    #[error("{0}")]
    Syntax(String),
    #[error("json: cannot unmarshal {0} into an object")]
    NoObject(&'static str),
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
}

/// Whoever sends it has proved nothing yet.
pub(crate) fn read<T: DeserializeOwned>(message: &[u8]) -> Result<T, JsonError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(JsonError::TooLarge);
    }
    from_json(message)
}

/// For messages whose length is bounded elsewhere. An object, or `null` for an empty one: a list would otherwise be
/// taken for the members of a struct in their order.
pub(crate) fn from_json<T: DeserializeOwned>(message: &[u8]) -> Result<T, JsonError> {
    if let Some(error) = json_syntax_error(message) {
        return Err(JsonError::Syntax(error));
    }
    match message.trim_ascii_start().first() {
        Some(b'{') => Ok(serde_json::from_slice(message)?),
        Some(b'n') => Ok(serde_json::from_slice(b"{}")?),
        Some(b'[') => Err(JsonError::NoObject("array")),
        Some(b'"') => Err(JsonError::NoObject("string")),
        Some(b't' | b'f') => Err(JsonError::NoObject("bool")),
        _ => Err(JsonError::NoObject("number")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Message {
        #[serde(default)]
        name: String,
        #[serde(default)]
        blob: Bytes,
    }

    #[test]
    fn a_struct_is_an_object_or_null() {
        let empty = Message { name: String::new(), blob: Bytes::default() };
        for text in ["null", " {} ", r#"{"blob": null}"#] {
            assert_eq!(read::<Message>(text.as_bytes()).unwrap(), empty, "{text}");
        }
        for (text, told) in [
            (r#"["x", "AA=="]"#, "json: cannot unmarshal array into an object"),
            ("\"x\"", "json: cannot unmarshal string into an object"),
            ("1", "json: cannot unmarshal number into an object"),
            ("true", "json: cannot unmarshal bool into an object"),
            ("", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{} {}", "invalid character '{' after top-level value"),
        ] {
            assert_eq!(read::<Message>(text.as_bytes()).unwrap_err().to_string(), told, "{text}");
        }
        let long = " ".repeat(MESSAGE_BYTES_MAX + 1);
        assert_eq!(read::<Message>(long.as_bytes()).unwrap_err().to_string(), "more than 65536 bytes");
    }
}
