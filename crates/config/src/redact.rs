//! A configuration as it may be shown to others: its shape and settings, without what could be a secret.

use crate::syntax::{Node, Tree, Value};

/// What stands in the place of a secret.
const REDACTED: &str = "(redacted)";
/// Parts of keys whose values are secrets wherever they stand.
const SECRET: [&str; 7] =
    ["secret", "token", "password", "passphrase", "credential", "connection_string", "authorization"];
/// What plugins are configured with is theirs to know, so there only these are shown.
const PLAIN_IN_PLUGINS: [&str; 3] = ["_path", "_type", "_dir"];
/// Read in any case, as all keys are.
const OF_PLUGINS: [&str; 2] = ["plugin_data", "plugin_args"];

/// Every value that could be a secret is replaced; other numbers, and switches, stay.
pub fn redacted(tree: &Tree) -> Tree {
    in_block(tree, false)
}

fn in_block(tree: &Tree, in_plugin: bool) -> Tree {
    let nodes = tree.nodes.iter().map(|node| {
        let in_plugin = in_plugin || OF_PLUGINS.iter().any(|name| node.key.eq_ignore_ascii_case(name));
        Node { key: node.key.clone(), span: node.span, value: shown(&node.key, &node.value, in_plugin) }
    });
    Tree { nodes: nodes.collect() }
}

fn shown(key: &str, value: &Value, in_plugin: bool) -> Value {
    let redacted = || Value::Text(REDACTED.to_owned());
    match value {
        Value::Text(text) if is_secret(key) || has_user_info(text) => redacted(),
        Value::Text(_) if in_plugin && !is_plain(key) => redacted(),
        // What is read as a text may be written as a number.
        Value::Number(_) if is_secret(key) => redacted(),
        Value::List(items) => Value::List(items.iter().map(|item| shown(key, item, in_plugin)).collect()),
        Value::Object(tree) => Value::Object(in_block(tree, in_plugin)),
        Value::Text(_) | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// By its name: a path to a secret is none.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names_a_file = key.ends_with("_path") || key.ends_with("_file");
    !names_a_file && (SECRET.iter().any(|part| key.contains(part)) || key.ends_with("key"))
}

fn is_plain(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    PLAIN_IN_PLUGINS.iter().any(|end| key.ends_with(end))
}

/// `https://user:password@host`.
fn has_user_info(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.split('/').next().is_some_and(|host| host.contains('@')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse, print};

    fn shown_of(text: &str) -> String {
        print(&redacted(&parse(text.as_bytes()).unwrap()))
    }

    #[test]
    fn secrets_go_and_settings_stay() {
        let shown = shown_of(
            r#"
            server { trust_domain = "example.org" bind_port = 8081 ca_key_type = "ec-p256" log_level = "INFO" }
            cluster { sealing_key_path = "/etc/key" join = ["a:1", "b:2"] }
            agent { join_token = 4711 trust_bundle_url = "https://me:canary@host/x" }
            telemetry { DogStatsd = [{ address = "localhost:1" api_key = "canary" }] }
            plugins {
                DataStore "sql" { plugin_data { database_type = "x" connection_string = "canary" } }
                UpstreamAuthority "vault" {
                    plugin_data { token_auth { token = "canary" } ca_cert_path = "/ca" hosts = ["canary"] retry = 3 }
                }
                KeyManager "disk" { PLUGIN_DATA { hosts = ["canary"] KEYS_PATH = "/keys" } }
                NodeAttestor "x" { plugin_cmd = "/bin/x" Plugin_Args = ["--pw=canary"] Plugin_Data { PIN = "canary" } }
            }"#,
        );
        assert!(!shown.contains("canary") && !shown.contains("4711"), "{shown}");
        for kept in [
            "\"example.org\"",
            "8081",
            "\"ec-p256\"",
            "\"/etc/key\"",
            "[\"a:1\", \"b:2\"]",
            "\"localhost:1\"",
            "database_type = \"x\"",
            "ca_cert_path = \"/ca\"",
            "retry = 3",
            "KEYS_PATH = \"/keys\"",
            "plugin_cmd = \"/bin/x\"",
            "token = \"(redacted)\"",
            "vault",
        ] {
            assert!(shown.contains(kept), "{kept} is not in {shown}");
        }
    }
}
