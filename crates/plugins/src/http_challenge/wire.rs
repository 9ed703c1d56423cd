//! The JSON that crosses the wire, and where the nonce is.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    #[serde(default)]
    pub hostname: String,
    #[serde(default)]
    pub agentname: String,
    #[serde(default)]
    pub port: i64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Challenge {
    #[serde(default)]
    pub nonce: String,
}

/// Agents on one host may share a port behind a web server, and are told apart by their names.
pub(super) fn nonce_path(agent_name: &str) -> String {
    format!("/.well-known/spiffe/nodeattestor/http_challenge/{agent_name}/challenge")
}
