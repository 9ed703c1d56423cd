//! Protobuf messages as SPIRE's command line prints them for scripts: proto field names, default values present, nulls
//! dropped, 64-bit integers as strings, keys sorted, one line.

use std::sync::OnceLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Map, Number, Value};

#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    #[error("the API description that this program was built with is damaged: {0}")]
    Descriptors(String),
    #[error("cannot write {name} as JSON: {reason}")]
    Message { name: String, reason: String },
}

/// One message as a JSON value with sorted keys.
pub fn proto_json<M: Message + Name>(message: &M) -> Result<Value, JsonError> {
    let name = M::full_name();
    let failed = |reason: String| JsonError::Message { name: name.clone(), reason };
    let descriptor = pool()?.get_message_by_name(&name).ok_or_else(|| failed("no such message".to_owned()))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|error| failed(error.to_string()))?;
    let options = SerializeOptions::new().skip_default_fields(false).use_proto_field_name(true);
    let value = dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| failed(error.to_string()))?;
    Ok(tidy(value))
}

/// One line with sorted keys and without nulls.
pub fn one_line(value: Value) -> String {
    tidy(value).to_string()
}

/// Drops members that are null and sorts the others.
fn tidy(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(tidy).collect()),
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().filter(|(_, value)| !value.is_null()).collect();
            members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().map(|(name, value)| (name, tidy(value))).collect::<Map<_, _>>())
        }
        Value::Number(number) => Value::Number(whole(number)),
        other => other,
    }
}

/// Go prints a double that is a whole number without a fraction.
fn whole(number: Number) -> Number {
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() < WHOLE_MAX => Number::from(value as i64),
        _ => number,
    }
}

fn pool() -> Result<&'static DescriptorPool, JsonError> {
    static POOL: OnceLock<Result<DescriptorPool, String>> = OnceLock::new();
    let pool = POOL
        .get_or_init(|| DescriptorPool::decode(steeple_api::FILE_DESCRIPTOR_SET).map_err(|error| error.to_string()));
    pool.as_ref().map_err(|reason| JsonError::Descriptors(reason.clone()))
}

/// 2^53: beyond it a double does not say which whole number it is.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;
    use steeple_api::server::entry;
    use steeple_api::types;

    #[test]
    fn an_entry_as_scripts_know_it() {
        let message = entry::ListEntriesResponse {
            entries: vec![types::Entry {
                id: "e1".into(),
                spiffe_id: Some(types::Spiffeid { trust_domain: "example.org".into(), path: "/w".into() }),
                created_at: 5,
                ..types::Entry::default()
            }],
            next_page_token: String::new(),
        };
        let expected = "{\"entries\":[{\"admin\":false,\"created_at\":\"5\",\"dns_names\":[],\"downstream\":false,\
                        \"expires_at\":\"0\",\"federates_with\":[],\"hint\":\"\",\"id\":\"e1\",\"jwt_svid_ttl\":0,\
                        \"revision_number\":\"0\",\"selectors\":[],\"spiffe_id\":{\"path\":\"/w\",\"trust_domain\":\
                        \"example.org\"},\"store_svid\":false,\"x509_svid_ttl\":0}],\"next_page_token\":\"\"}";
        assert_eq!(proto_json(&message).unwrap().to_string(), expected);
    }

    #[test]
    fn messages_without_a_package_and_enums_by_name() {
        let svids = steeple_api::workload::X509svidResponse::default();
        assert_eq!(proto_json(&svids).unwrap().to_string(), "{\"crl\":[],\"federated_bundles\":{},\"svids\":[]}");
        let logger = types::Logger { current_level: types::LogLevel::Warn.into(), launch_level: 6 };
        assert_eq!(proto_json(&logger).unwrap().to_string(), "{\"current_level\":\"WARN\",\"launch_level\":\"DEBUG\"}");
    }

    #[test]
    fn nulls_are_dropped_at_every_depth() {
        let value = serde_json::json!({"b": {"y": null, "x": [{"n": null}]}, "a": null});
        assert_eq!(one_line(value), "{\"b\":{\"x\":[{}]}}");
    }

    #[test]
    fn whole_doubles_have_no_fraction() {
        let value = serde_json::json!([1_700_000_000.0, -2.0, 1.5, 1e300, 7]);
        assert_eq!(one_line(value), "[1700000000,-2,1.5,1e+300,7]");
    }
}
