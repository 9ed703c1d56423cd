//! What the running program has, as told by the program itself.

use crate::{ConfigError, Tree, Value};

/// What a server or agent can carry out; everything else in a file is refused by name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Supported<'a> {
    /// The built-in plugins as (type, name), for instance `("NodeAttestor", "x509pop")`. `None` accepts any, and any
    /// number of each type: stock `spire-agent validate` does not look at plugins.
    pub plugins: Option<&'a [(&'a str, &'a str)]>,
    /// The types whose plugins may be programs of their own (`plugin_cmd`).
    pub external: &'a [&'a str],
    /// Keys of SPIRE's that this program cannot honour yet, dotted (`server.profiling_enabled`), each with what to do
    /// instead, as lists of the crates that cannot. A key that is there but off (`false`, `0`, empty) is no reason to
    /// refuse a file.
    pub refused_keys: &'a [&'a [(&'a str, &'a str)]],
}

impl Supported<'_> {
    pub(crate) fn check_keys(&self, tree: &Tree) -> Result<(), ConfigError> {
        match self.refused_keys.iter().copied().flatten().find(|(key, _)| is_switched_on(tree, key)) {
            Some((key, instead)) => Err(ConfigError::not_supported(*key, *instead)),
            None => Ok(()),
        }
    }
}

fn is_switched_on(tree: &Tree, dotted: &str) -> bool {
    let (key, rest) = match dotted.split_once('.') {
        Some((key, rest)) => (key, Some(rest)),
        None => (dotted, None),
    };
    let mut values = tree.nodes.iter().filter(|node| node.key.eq_ignore_ascii_case(key)).map(|node| &node.value);
    values.any(|value| match (value, rest) {
        (Value::Object(inner), Some(rest)) => is_switched_on(inner, rest),
        (Value::List(items), Some(rest)) => {
            items.iter().any(|item| matches!(item, Value::Object(inner) if is_switched_on(inner, rest)))
        }
        (Value::Object(_), None) => true,
        (Value::List(items), None) => !items.is_empty(),
        (Value::Bool(on), None) => *on,
        (Value::Text(text) | Value::Number(text), None) => !matches!(text.as_str(), "" | "0" | "false"),
        (_, Some(_)) => false,
    })
}
