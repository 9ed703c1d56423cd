//! `spire.plugin.agent.nodeattestor.v1.NodeAttestor`: the agent's half of node attestation.

use std::sync::Arc;

use steeple_api::external::agent_nodeattestor::node_attestor_client::NodeAttestorClient;
use steeple_api::external::agent_nodeattestor::payload_or_challenge_response::Data;
use steeple_api::external::agent_nodeattestor::{Challenge, PayloadOrChallengeResponse};
use steeple_core::plugin::{AgentChannel, AgentNodeAttestor, AttestError, BoxFuture};
use steeple_transport::serve::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Plugin;
use super::node_attestor::attest_error;

pub struct ExternalAgentNodeAttestor(pub Arc<Plugin>);

impl ExternalAgentNodeAttestor {
    pub const INTERFACE: &'static str = "spire.plugin.agent.nodeattestor.v1.NodeAttestor";

    async fn converse(&self, channel: &mut dyn AgentChannel) -> Result<(), AttestError> {
        let plugin = &self.0;
        let (challenges, outgoing) = mpsc::channel(1);
        let mut client = NodeAttestorClient::new(plugin.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        // The plugin speaks first.
        let answers = client.aid_attestation(ReceiverStream::new(outgoing));
        let mut answers = plugin.call("AidAttestation", answers).await.map_err(attest_error)?;
        let ended = "plugin closed stream before returning attestation data";
        let mut message = match self.next(&mut answers, ended).await? {
            Some(Data::Payload(payload)) if !payload.is_empty() => payload,
            _ => return Err(self.fault("plugin response missing attestation payload")),
        };
        while let Some(challenge) = channel.send(message).await? {
            let ended = "plugin closed stream before handling the challenge";
            challenges.send(Challenge { challenge }).await.map_err(|_| self.fault(ended))?;
            message = match self.next(&mut answers, ended).await? {
                Some(Data::ChallengeResponse(response)) if !response.is_empty() => response,
                _ => return Err(self.fault("plugin response missing challenge response")),
            };
        }
        Ok(())
    }

    async fn next(
        &self,
        answers: &mut Streaming<PayloadOrChallengeResponse>,
        ended: &str,
    ) -> Result<Option<Data>, AttestError> {
        let answer = self.0.message("AidAttestation", answers.message()).await.map_err(attest_error)?;
        answer.map(|answer| answer.data).ok_or_else(|| self.fault(ended))
    }

    fn fault(&self, message: &str) -> AttestError {
        attest_error(self.0.internal(message))
    }
}

impl AgentNodeAttestor for ExternalAgentNodeAttestor {
    fn name(&self) -> &str {
        &self.0.program().name
    }

    fn attest<'a>(&'a self, channel: &'a mut dyn AgentChannel) -> BoxFuture<'a, Result<(), AttestError>> {
        Box::pin(self.converse(channel))
    }
}
