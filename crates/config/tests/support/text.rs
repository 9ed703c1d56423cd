//! Made-up trees and texts.

use proptest::prelude::*;
use steeple_config::{Node, Span, Tree, Value, print};

/// Text that looks enough like a configuration to get past the scanner now and then.
pub fn almost_a_configuration() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "server",
        "agent",
        "plugins",
        "cluster",
        "telemetry",
        "health_checks",
        "{",
        "}",
        "[",
        "]",
        "=",
        ",",
        "\"x\"",
        "\"8081\"",
        "1",
        "0x",
        "1e",
        "-",
        ".",
        "\n",
        " ",
        "<<EOF\n",
        "EOF\n",
        "<<-E\n",
        "  E\n",
        "/*",
        "*/",
        "#",
        "//",
        "\"${",
        "}\"",
        "\\",
        "true",
        "trust_domain",
        "join",
        "NodeAttestor",
        "plugin_data",
        "null",
        ":",
        "é",
        "\r\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join(" "))
}

/// A configuration with up to two characters replaced by something that means something.
pub fn damaged() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["", "", "\"", "{", "}", "[", "]", "=", ",", "\n", "\\", "#", "${", "0", "."]);
    let damage = prop::collection::vec((any::<prop::sample::Index>(), piece), 0..3);
    (tree(), damage).prop_map(|(tree, damage)| {
        let mut chars: Vec<String> = print(&tree).chars().map(String::from).collect();
        for (at, piece) in damage {
            if !chars.is_empty() {
                let at = at.index(chars.len());
                chars[at] = piece.to_owned();
            }
        }
        chars.concat()
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Number(number.to_string())),
        "-?(0x[0-9a-fA-F]{1,4}|0[0-7]{1,4}|[1-9][0-9]{0,4}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?)"
            .prop_map(Value::Number),
        any::<String>().prop_filter("no NUL", |text| !text.contains('\0')).prop_map(Value::Text),
        "[a$\\{\\}\"\\\\\n]{0,12}".prop_map(Value::Text),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z_][a-zA-Z0-9_.-]{0,8}", "[ \"$\\{\\}a]{0,5}", Just("true".to_owned())]
}

/// Any tree that a configuration can hold.
pub fn tree() -> impl Strategy<Value = Tree> {
    let node =
        |value: BoxedStrategy<Value>| (key(), value).prop_map(|(key, value)| Node { key, span: Span::UNKNOWN, value });
    let value = scalar().prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec(node(inner.boxed()), 0..4).prop_map(|nodes| Value::Object(Tree { nodes })),
        ]
    });
    prop::collection::vec(node(value.boxed()), 0..5).prop_map(|nodes| Tree { nodes })
}
