//! Messages inside `google.protobuf.Any`.

use prost_types::Any;

/// With the type URL that Go and Envoy write, `type.googleapis.com/` and the message's full name.
pub fn pack<M: prost::Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// Whether a type URL names `M`: only what follows its last slash counts (protobuf's `Any`).
pub fn names<M: prost::Name>(type_url: &str) -> bool {
    type_url.rsplit('/').next() == Some(M::full_name().as_str())
}
