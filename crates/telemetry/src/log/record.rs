//! One line of the log before it is formatted.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use steeple_config::LogLevel;
use tracing::field::{Field, Visit};

/// Fields sorted by name, as logrus sorts them.
pub type Fields = BTreeMap<String, Value>;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Float(f64),
    Int(i64),
    Text(String),
    Uint(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    /// RFC 3339 with seconds.
    pub time: String,
    pub level: LogLevel,
    pub message: String,
    pub caller: Option<Caller>,
    pub fields: Fields,
}

/// Where the message came from; shown with `log_source_location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub function: String,
    /// `path:line`.
    pub file: String,
}

/// Collects an event's or span's fields; the message is not one of them.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    pub message: String,
    pub fields: Fields,
}

impl Collector {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message = text,
            (PLUGIN_LOG_FIELDS, Value::Text(object)) => self.put_all(&object),
            (name, value) => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Collector {
    /// Fields whose names only a plugin knows, as a JSON object. What is no object has none.
    fn put_all(&mut self, object: &str) {
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).unwrap_or_default();
        for (name, value) in fields {
            // Names are not quoted in a line.
            let plain = |c: char| if c.is_ascii_alphanumeric() || "@._-".contains(c) { c } else { '_' };
            let name: String = name.chars().take(FIELD_NAME_CHARS_MAX).map(plain).collect();
            if !name.is_empty() {
                self.fields.entry(name).or_insert_with(|| value.into());
            }
        }
    }
}

impl Visit for Collector {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::Text(format!("{value:?}")));
    }

    /// The error with its causes, as Go prints wrapped errors.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.put(field, Value::Text(text));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Int(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Uint(value));
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Bool(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::Uint(value) => (*value).into(),
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match value {
            Json::Bool(value) => Self::Bool(value),
            Json::String(text) => Self::Text(text),
            Json::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), ..) => Self::Uint(value),
                (None, Some(value), _) => Self::Int(value),
                (None, None, value) => Self::Float(value.unwrap_or_default()),
            },
            other => Self::Text(other.to_string()),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Uint(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
            Self::Uint(value) => value.fmt(f),
        }
    }
}

/// The field that carries the fields of a plugin's log: tracing's macros take names that the compiler knows.
const PLUGIN_LOG_FIELDS: &str = "plugin_log_fields";
const FIELD_NAME_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_plugins_are_taken_apart_and_change_none_of_ours() {
        let mut collector = Collector::default();
        collector.fields.insert("plugin_name".into(), "mine".into());
        collector.put_all(r#"{"pid": 7, "a b\nc=d": "x", "@module": "m", "list": [1], "plugin_name": "other", "": 1}"#);
        let shown: Vec<String> = collector.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["@module=m", "a_b_c_d=x", "list=[1]", "pid=7", "plugin_name=mine"]);
        collector.put_all("no object");
        assert_eq!(collector.fields.len(), 5);
    }
}
