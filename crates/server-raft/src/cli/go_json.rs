//! JSON as Go reads it into a struct: names of members in any case, `null` for what is not set, the last of several
//! members with one name, and Go's words for what does not fit.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use steeple_core::json_syntax_error;

/// What a member may hold.
pub(super) enum Shape {
    Text,
    Bool,
    Int32,
    Int64,
    List(&'static Shape),
    Object(&'static Struct),
    /// What the reader looks at itself.
    Any,
}

/// A struct of SPIRE's that is read from JSON.
pub(super) struct Struct {
    /// With its package, as refusals have it: `common.RegistrationEntry`.
    pub name: &'static str,
    pub members: &'static [(&'static str, Shape)],
}

/// Reads an object, or `null` for an empty one, of the given shape into a type whose members have names in lower case
/// throughout. What a member of shape [`Shape::Any`] holds is left as it is.
///
/// # Errors
/// The text is no JSON, no object, or one whose members have values of another type: in Go's words.
pub(super) fn from_go_json<T: DeserializeOwned>(json: &[u8], shape: &'static Struct) -> Result<T, String> {
    if let Some(error) = json_syntax_error(json) {
        return Err(error);
    }
    let told = |error: serde_json::Error| error.to_string();
    let value: Value = serde_json::from_slice(json).map_err(told)?;
    let whole = Shape::Object(shape);
    let place = Place { owner: "", path: String::new() };
    whole.check(&value, &place)?;
    let value = if value.is_null() { Value::Object(Map::new()) } else { value };
    serde_json::from_value(whole.folded(value)).map_err(told)
}

/// Where a value stands.
struct Place {
    /// The struct, without its package.
    owner: &'static str,
    /// From the outermost struct. Empty for the text as a whole.
    path: String,
}

impl Shape {
    /// No deeper than the shape is.
    fn check(&self, value: &Value, place: &Place) -> Result<(), String> {
        match (self, value) {
            (Self::Any, _) | (_, Value::Null) => Ok(()),
            (Self::Text, Value::String(_)) | (Self::Bool, Value::Bool(_)) => Ok(()),
            (Self::Int32, Value::Number(number)) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => Ok(()),
            (Self::Int64, Value::Number(number)) if number.is_i64() => Ok(()),
            (Self::Int32 | Self::Int64, Value::Number(number)) => Err(self.refusal(&format!("number {number}"), place)),
            (Self::List(item), Value::Array(items)) => items.iter().try_for_each(|value| item.check(value, place)),
            (Self::Object(shape), Value::Object(members)) => members.iter().try_for_each(|(name, value)| {
                let Some((name, inner)) = shape.member(name) else { return Ok(()) };
                let dot = if place.path.is_empty() { "" } else { "." };
                inner.check(value, &Place { owner: shape.short_name(), path: format!("{}{dot}{name}", place.path) })
            }),
            _ => Err(self.refusal(kind(value), place)),
        }
    }

    fn refusal(&self, found: &str, place: &Place) -> String {
        let wanted = self.go_type();
        if place.path.is_empty() {
            return format!("json: cannot unmarshal {found} into Go value of type {wanted}");
        }
        let Place { owner, path } = place;
        format!("json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {wanted}")
    }

    fn go_type(&self) -> String {
        match self {
            Self::Text => "string".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Int32 => "int32".to_owned(),
            Self::Int64 => "int64".to_owned(),
            Self::List(Self::Object(item)) => format!("[]*{}", item.name),
            Self::List(item) => format!("[]{}", item.go_type()),
            Self::Object(shape) => shape.name.to_owned(),
            Self::Any => "interface {}".to_owned(),
        }
    }

    /// Members that are set, with their names in lower case.
    fn folded(&self, value: Value) -> Value {
        match (self, value) {
            (Self::List(item), Value::Array(items)) => {
                Value::Array(items.into_iter().map(|value| item.folded(value)).collect())
            }
            (Self::Object(shape), Value::Object(members)) => {
                let set = members.into_iter().filter(|(_, value)| !value.is_null());
                let folded = set.map(|(name, value)| {
                    let value = match shape.member(&name) {
                        Some((_, inner)) => inner.folded(value),
                        None => value,
                    };
                    (name.to_lowercase(), value)
                });
                Value::Object(folded.collect())
            }
            (_, value) => value,
        }
    }
}

impl Struct {
    fn member(&self, name: &str) -> Option<&'static (&'static str, Shape)> {
        self.members.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
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
        ttl: i32,
        whole: Option<Value>,
    }

    static READ: Struct = Struct {
        name: "common.Read",
        members: &[
            ("name", Shape::Text),
            ("some_items", Shape::List(&Shape::Object(&READ))),
            ("ttl", Shape::Int32),
            ("whole", Shape::Any),
        ],
    };

    fn read(json: &str) -> Result<Read, String> {
        from_go_json(json.as_bytes(), &READ)
    }

    #[test]
    fn names_have_any_case_and_null_is_not_set() {
        let inner = Read { name: "b".to_owned(), ..Read::default() };
        let expected = Read { name: "a".to_owned(), some_items: vec![inner], ..Read::default() };
        assert_eq!(read(r#"{"NAME": "a", "Some_Items": [{"Name": "b", "whole": null}]}"#).unwrap(), expected);
        assert_eq!(read(r#"{"name": null, "some_items": null}"#).unwrap(), Read::default());
        assert_eq!(read(r#"{"name": "x", "name": "y"}"#).unwrap().name, "y");
        assert_eq!(read("null").unwrap(), Read::default());
    }

    #[test]
    fn what_is_not_looked_at_stays_as_it_is() {
        let whole = serde_json::json!({"Keys": [null, {"A": null}]});
        assert_eq!(read(r#"{"Whole": {"Keys": [null, {"A": null}]}}"#).unwrap().whole, Some(whole));
    }

    #[test]
    fn what_does_not_fit_is_refused_in_gos_words() {
        for (json, told) in [
            ("{", "unexpected end of JSON input"),
            ("{} {}", "invalid character '{' after top-level value"),
            (r#"["x"]"#, "json: cannot unmarshal array into Go value of type common.Read"),
            ("1", "json: cannot unmarshal number into Go value of type common.Read"),
            (r#"{"name": 1}"#, "json: cannot unmarshal number into Go struct field Read.name of type string"),
            (
                r#"{"some_items": {}}"#,
                "json: cannot unmarshal object into Go struct field Read.some_items of type []*common.Read",
            ),
            (
                r#"{"some_items": [5]}"#,
                "json: cannot unmarshal number into Go struct field Read.some_items of type common.Read",
            ),
            (
                r#"{"some_items": [{"TTL": 1.5}]}"#,
                "json: cannot unmarshal number 1.5 into Go struct field Read.some_items.ttl of type int32",
            ),
            (
                r#"{"ttl": 99999999999}"#,
                "json: cannot unmarshal number 99999999999 into Go struct field Read.ttl of type int32",
            ),
        ] {
            assert_eq!(read(json).unwrap_err(), told, "{json}");
        }
    }
}
