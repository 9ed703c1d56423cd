//! Writing a configuration to a file and loading it.
#![allow(dead_code)] // each test binary uses its own part

pub mod text;

use std::path::PathBuf;

use steeple_config::{
    AgentOverrides, AgentSettings, ConfigError, Loaded, ServerOverrides, ServerSettings, Supported, load_agent,
    load_server,
};

pub const PLUGINS: &[(&str, &str)] = &[
    ("KeyManager", "disk"),
    ("KeyManager", "memory"),
    ("NodeAttestor", "join_token"),
    ("NodeAttestor", "k8s_psat"),
    ("NodeAttestor", "x509pop"),
    ("WorkloadAttestor", "k8s"),
    ("WorkloadAttestor", "unix"),
];
pub const SUPPORTED: Supported<'static> = Supported { plugins: Some(PLUGINS), external: EXTERNAL, refused_keys: &[] };
/// Types that have external plugins.
const EXTERNAL: &[&str] = &["NodeAttestor", "WorkloadAttestor"];

pub struct File {
    _dir: tempfile::TempDir,
    pub path: PathBuf,
}

pub fn file(text: &str) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.conf");
    std::fs::write(&path, text).unwrap();
    File { _dir: dir, path }
}

pub fn server(text: &str) -> Result<Loaded<ServerSettings>, ConfigError> {
    server_with(text, &ServerOverrides::default(), &SUPPORTED)
}

pub fn server_with(
    text: &str,
    overrides: &ServerOverrides,
    supported: &Supported<'_>,
) -> Result<Loaded<ServerSettings>, ConfigError> {
    load_server(Some(&file(text).path), false, overrides, supported)
}

pub fn agent(text: &str) -> Result<Loaded<AgentSettings>, ConfigError> {
    load_agent(Some(&file(text).path), false, &AgentOverrides::default(), &SUPPORTED)
}

/// A server's file with `server` added to its server block and `plugins` to its plugins.
pub fn server_conf(server: &str, plugins: &str) -> String {
    format!(
        r#"
server {{
    bind_address = "127.0.0.1"
    bind_port = "8081"
    trust_domain = "example.org"
    data_dir = "/srv/steeple/data"
    socket_path = "/run/steeple/run.sock"
    log_level = "WARN"
    {server}
}}
plugins {{
    DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "ds.sqlite3" }} }}
    KeyManager "memory" {{ plugin_data {{}} }}
    {plugins}
}}
"#
    )
}

pub fn agent_conf(agent: &str, plugins: &str) -> String {
    format!(
        r#"
agent {{
    data_dir = "/srv/steeple/agent"
    server_address = "127.0.0.1"
    server_port = "8081"
    socket_path = "/run/steeple/pub/x.sock"
    trust_bundle_path = "/etc/steeple/ca.pem"
    trust_domain = "example.org"
    join_token = "canary-token"
    log_level = "WARN"
    {agent}
}}
plugins {{
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "memory" {{ plugin_data {{}} }}
    WorkloadAttestor "unix" {{ plugin_data {{}} }}
    {plugins}
}}
"#
    )
}
