//! What a configuration says, in the order in which it says it.

use std::fmt;

use super::Span;

/// The nodes of a file or of a block. Keys may repeat.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tree {
    pub nodes: Vec<Node>,
}

/// One key and its value. A labelled block nests: `Plugin "name" { … }` is `Plugin` holding an object with `name`.
#[derive(Clone, Debug)]
pub struct Node {
    pub key: String,
    /// Where the key stands.
    pub span: Span,
    pub value: Value,
}

/// `key { … }` and `key = { … }` are the same object, as in HCL1.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    /// The digits as written: `0770`, `0x1f` and `1.50` stay what they are until somebody wants a number.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Tree),
}

impl Tree {
    /// The nodes with this key, in order.
    pub fn get<'t>(&'t self, key: &str) -> impl Iterator<Item = &'t Node> {
        self.nodes.iter().filter(move |node| node.key == key)
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl Value {
    /// What this is, in the words of an error message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "a block",
        }
    }
}

/// Equality is about what is said, not where.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl Eq for Node {}

/// Values may be tokens, passwords or connection strings, so only keys and shapes are shown.
impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.nodes.iter().map(|node| (&node.key, &node.value))).finish()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Object(tree) => tree.fmt(f),
            scalar => f.write_str(scalar.kind()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_values() {
        let node = Node { key: "join_token".into(), span: Span::UNKNOWN, value: Value::Text("canary".into()) };
        let shown = format!("{:?}", Tree { nodes: vec![node] });
        assert!(shown.contains("join_token") && !shown.contains("canary"), "{shown}");
    }
}
