//! A tree as HCL1, one way of many: `parse(print(tree)) == tree`.

use std::fmt::Write;

use super::scan::is_identifier;
use super::{Tree, Value};

/// The tree as HCL1 text. Comments and the original layout are gone.
pub fn print(tree: &Tree) -> String {
    let mut out = String::new();
    print_nodes(&mut out, tree, 0);
    out
}

fn print_nodes(out: &mut String, tree: &Tree, depth: usize) {
    for node in &tree.nodes {
        indent(out, depth);
        if is_identifier(&node.key) {
            out.push_str(&node.key);
        } else {
            print_text(out, &node.key);
        }
        match &node.value {
            Value::Object(_) => out.push(' '),
            _ => out.push_str(" = "),
        }
        print_value(out, &node.value, depth);
        out.push('\n');
    }
}

fn print_value(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(digits) => out.push_str(digits),
        Value::Text(text) => print_text(out, text),
        Value::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                print_value(out, item, depth);
            }
            out.push(']');
        }
        Value::Object(tree) if tree.is_empty() => out.push_str("{}"),
        Value::Object(tree) => {
            out.push_str("{\n");
            print_nodes(out, tree, depth + 1);
            indent(out, depth);
            out.push('}');
        }
    }
}

fn print_text(out: &mut String, text: &str) {
    out.push('"');
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '$' if chars.peek() == Some(&'{') => out.push_str("\\x24"), // bare, it would begin an interpolation
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            // Writing to a String cannot fail.
            '\0'..='\u{1f}' | '\u{7f}' => _ = write!(out, "\\x{:02x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("    ", depth));
}
