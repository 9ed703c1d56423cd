//! JSON as Go reads it into a struct: names of members in any case, `null` for what is not set, the last of several
//! members with one name.

use serde::de::{DeserializeOwned, Error};
use serde_json::{Map, Value};

/// Reads an object, or `null` for an empty one, into a type whose members have names in lower case throughout. What the
/// members in `raw` hold, also named in lower case, is left as it is.
///
/// # Errors
/// The text is no JSON, no object, or one whose members have values of another type.
pub(super) fn from_go_json<T: DeserializeOwned>(json: &[u8], raw: &[&str]) -> Result<T, serde_json::Error> {
    let members = match serde_json::from_slice(json)? {
        Value::Object(members) => members,
        Value::Null => Map::new(),
        // A list would be taken for the members of a struct in their order.
        _ => return Err(serde_json::Error::custom("an object is expected")),
    };
    serde_json::from_value(Value::Object(folded_members(members, raw)))
}

fn folded_members(members: Map<String, Value>, raw: &[&str]) -> Map<String, Value> {
    let set = members.into_iter().filter(|(_, value)| !value.is_null());
    let folded = set.map(|(name, value)| {
        let name = name.to_lowercase();
        let value = if raw.contains(&name.as_str()) { value } else { folded(value, raw) };
        (name, value)
    });
    folded.collect()
}

/// No deeper than the parser went, which has a bound of its own.
fn folded(value: Value, raw: &[&str]) -> Value {
    match value {
        Value::Object(members) => Value::Object(folded_members(members, raw)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| folded(item, raw)).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Read {
        name: String,
        some_items: Vec<Read>,
        whole: Option<Value>,
    }

    fn read(json: &str) -> Result<Read, serde_json::Error> {
        from_go_json(json.as_bytes(), &["whole"])
    }

    #[test]
    fn names_have_any_case_and_null_is_not_set() {
        let inner = Read { name: "b".to_owned(), ..Read::default() };
        let expected = Read { name: "a".to_owned(), some_items: vec![inner], whole: None };
        assert_eq!(read(r#"{"NAME": "a", "Some_Items": [{"Name": "b", "whole": null}]}"#).unwrap(), expected);
        assert_eq!(read(r#"{"name": null, "some_items": null}"#).unwrap(), Read::default());
        assert_eq!(read(r#"{"name": "x", "name": "y"}"#).unwrap().name, "y");
    }

    #[test]
    fn what_is_raw_stays_as_it_is() {
        let whole = serde_json::json!({"Keys": [null, {"A": null}]});
        assert_eq!(read(r#"{"Whole": {"Keys": [null, {"A": null}]}}"#).unwrap().whole, Some(whole));
    }

    #[test]
    fn only_an_object_is_read() {
        assert_eq!(read("null").unwrap(), Read::default());
        for json in ["[]", r#"["x"]"#, "1", "{", r#"{"name": 1}"#, "{} {}"] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
