//! The agent's half.

use steeple_core::plugin::{AgentChannel, AgentNodeAttestor, AttestError, BoxFuture};

use super::wire::{Challenge, Payload, nonce_path};
use super::{NAME, nonce_server};
use crate::json;

/// `plugin_data` of the agent's block: where the server can ask for the nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpChallengeEndpoint {
    pub host_name: String,
    pub agent_name: String,
    /// 0 is any free one.
    pub port: u16,
    /// Where the server is to ask, behind a proxy; 0: at `port`.
    pub advertised_port: u16,
}

pub struct HttpChallengeAgent {
    endpoint: HttpChallengeEndpoint,
}

impl HttpChallengeEndpoint {
    pub const AGENT_NAME: &str = "default";
}

impl HttpChallengeAgent {
    pub fn new(endpoint: HttpChallengeEndpoint) -> Self {
        Self { endpoint }
    }

    /// The port is taken only while an attestation lasts.
    async fn run(&self, channel: &mut dyn AgentChannel) -> Result<(), AttestError> {
        let HttpChallengeEndpoint { host_name, agent_name, port, advertised_port } = &self.endpoint;
        let bound = nonce_server::listen(*port).await;
        let bound = bound.and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        let (bound_port, listener) =
            bound.map_err(|error| AttestError::internal(format!("could not listen on port {port}: {error}")))?;
        let asked_port = if *advertised_port == 0 { bound_port } else { *advertised_port };
        let payload =
            Payload { hostname: host_name.clone(), agentname: agent_name.clone(), port: i64::from(asked_port) };
        let payload = serde_json::to_vec(&payload)
            .map_err(|error| AttestError::internal(format!("unable to marshal attestation data: {error}")))?;
        let Some(challenge) = channel.send(payload).await? else {
            return Err(AttestError::internal("server accepted the host name without a challenge"));
        };
        let challenge: Challenge = json::read(&challenge)
            .map_err(|error| AttestError::internal(format!("unable to unmarshal challenge: {error}")))?;
        // The server has its answer from the nonce; this only tells it to ask.
        let outcome = channel.send(b"\n".to_vec());
        tokio::select! {
            outcome = outcome => match outcome? {
                None => Ok(()),
                Some(_) => Err(AttestError::internal("server sent a second challenge")),
            },
            never = nonce_server::serve(listener, nonce_path(agent_name), challenge.nonce) => match never {},
        }
    }
}

impl AgentNodeAttestor for HttpChallengeAgent {
    fn name(&self) -> &str {
        NAME
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        Box::pin(self.run(channel))
    }
}
