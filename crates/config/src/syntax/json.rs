//! JSON into the same tree: the hardened Helm chart renders `server.conf` as JSON.
//!
//! Repeated keys stay repeated, `null` means "not set", and nodes have no span.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::{SyntaxError, SyntaxFault};
use super::limits::{DEPTH_MAX, NODES_MAX};
use super::{Node, Span, Tree, Value};

pub(crate) fn parse(text: &str) -> Result<Tree, SyntaxError> {
    let nodes = Cell::new(0);
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed =
        ValueSeed { depth: 0, nodes: &nodes }.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    match parsed {
        Ok(Some(Value::Object(tree))) => Ok(tree),
        Ok(_) => Err(SyntaxError::new(Span::UNKNOWN, SyntaxFault::Json("the outermost value is not an object".into()))),
        Err(error) => {
            let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let span = Span { line: place(error.line()), column: place(error.column()) };
            Err(SyntaxError::new(span, SyntaxFault::Json(error.to_string())))
        }
    }
}

/// Reads one value; `None` is JSON's null.
struct ValueSeed<'n> {
    depth: usize,
    nodes: &'n Cell<usize>,
}

impl ValueSeed<'_> {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        self.nodes.set(self.nodes.get() + 1);
        if self.nodes.get() > NODES_MAX {
            return Err(E::custom(SyntaxFault::TooManyNodes { max: NODES_MAX }));
        }
        if self.depth >= DEPTH_MAX {
            return Err(E::custom(SyntaxFault::TooDeep { max: DEPTH_MAX }));
        }
        Ok(Self { depth: self.depth + 1, nodes: self.nodes })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Number(value.to_string())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(Value::Number(value.to_string())))
    }

    /// `8081.0` stays what no int is made of.
    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Value::Number(format!("{value:?}"))))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.inner()?)? {
            items.extend(item);
        }
        Ok(Some(Value::List(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if let Some(value) = map.next_value_seed(self.inner()?)? {
                nodes.push(Node { key, span: Span::UNKNOWN, value });
            }
        }
        Ok(Some(Value::Object(Tree { nodes })))
    }
}
