//! The agent's half. The token is read at each attestation: the kubelet replaces it when most of its life is over.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use steeple_core::plugin::{AgentChannel, AgentNodeAttestor, AttestError, BoxFuture};
use zeroize::Zeroizing;

use super::NAME;
use super::wire::Payload;

pub struct K8sPsatAgent {
    cluster: String,
    token_path: PathBuf,
}

impl K8sPsatAgent {
    /// Where the manifests that people use mount the token.
    pub const TOKEN_PATH: &str = "/var/run/secrets/tokens/spire-agent";

    pub fn new(cluster: String, token_path: PathBuf) -> Self {
        Self { cluster, token_path }
    }

    async fn run(&self, channel: &mut dyn AgentChannel) -> Result<(), AttestError> {
        let path = self.token_path.display();
        let token =
            self.token().map_err(|why| AttestError::invalid(format!("unable to load token from {path}: {why}")))?;
        let payload = serde_json::to_vec(&Payload { cluster: self.cluster.clone(), token })
            .map_err(|error| AttestError::internal(format!("unable to marshal PSAT token data: {error}")))?;
        match channel.send(payload).await? {
            None => Ok(()),
            Some(_) => Err(AttestError::internal("server sent a challenge, and a service account token answers none")),
        }
    }

    /// As it is in the file: not even a newline is removed (SPIRE behaviour).
    fn token(&self) -> Result<Zeroizing<String>, String> {
        let path = &self.token_path;
        let unreadable = |error: io::Error| steeple_core::unreadable(path, &error);
        let mut token = Zeroizing::new(String::new());
        let file = File::open(path).map_err(unreadable)?;
        file.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut token).map_err(unreadable)?;
        match token.len() as u64 {
            0 => Err(format!("{path:?} is empty")),
            1..=TOKEN_BYTES_MAX => Ok(token),
            _ => Err(format!("{path:?} has more than {TOKEN_BYTES_MAX} bytes")),
        }
    }
}

impl AgentNodeAttestor for K8sPsatAgent {
    fn name(&self) -> &str {
        NAME
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        Box::pin(self.run(channel))
    }
}

/// Tokens have about one KiB.
const TOKEN_BYTES_MAX: u64 = 32 * 1024;
