//! `spire.plugin.server.nodeattestor.v1.NodeAttestor`: the server's half of node attestation.

use std::net::IpAddr;
use std::sync::Arc;

use steeple_api::external::server_nodeattestor::node_attestor_client::NodeAttestorClient;
use steeple_api::external::server_nodeattestor::{
    AgentAttributes, AttestRequest, attest_request, attest_response::Response as Answer,
};
use steeple_core::SpiffeId;
use steeple_core::plugin::{AttestError, AttestStatus, Attested, BoxFuture, ChallengeChannel, NodeAttestor};
use steeple_transport::serve::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

use super::Plugin;
use super::selectors::selectors;

pub struct ExternalNodeAttestor(pub Arc<Plugin>);

impl ExternalNodeAttestor {
    pub const INTERFACE: &'static str = "spire.plugin.server.nodeattestor.v1.NodeAttestor";

    async fn converse(
        &self,
        payload: &[u8],
        peer: Option<IpAddr>,
        channel: &mut dyn ChallengeChannel,
    ) -> Result<Attested, AttestError> {
        let plugin = &self.0;
        let (requests, outgoing) = mpsc::channel(1);
        let message = |request| AttestRequest { request: Some(request) };
        let closed = || self.fault("plugin closed stream unexpectedly");
        requests.send(message(attest_request::Request::Payload(payload.to_vec()))).await.map_err(|_| closed())?;
        let mut request = Request::new(ReceiverStream::new(outgoing));
        let client_ip = peer.map(|peer| peer.to_string()).unwrap_or_default();
        for (name, value) in [(CLIENT_IP, client_ip.as_str()), (FORWARDED_HOST, "")] {
            if let Ok(value) = MetadataValue::try_from(value) {
                request.metadata_mut().insert(name, value);
            }
        }
        let mut client = NodeAttestorClient::new(plugin.channel()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut answers = plugin.call("Attest", client.attest(request)).await.map_err(attest_error)?;
        // As long as the conversation may take, which the server bounds.
        loop {
            let answer = plugin.message("Attest", answers.message()).await.map_err(attest_error)?;
            let answer = answer.ok_or_else(closed)?;
            let challenge = match answer.response {
                Some(Answer::AgentAttributes(found)) => return self.attested(found),
                Some(Answer::Challenge(challenge)) => challenge,
                None => return Err(self.fault("plugin response missing challenge or agent attributes")),
            };
            let response = channel.challenge(challenge).await?;
            let response = message(attest_request::Request::ChallengeResponse(response));
            requests.send(response).await.map_err(|_| closed())?;
        }
    }

    fn attested(&self, found: AgentAttributes) -> Result<Attested, AttestError> {
        let AgentAttributes { spiffe_id, selector_values, can_reattest } = found;
        if spiffe_id.is_empty() {
            return Err(self.fault("plugin response missing agent ID"));
        }
        let agent_id = SpiffeId::parse(&spiffe_id)
            .map_err(|error| self.fault(&format!("plugin response has an invalid agent ID: {error}")))?;
        let selectors = selectors(self.name(), selector_values)
            .map_err(|error| self.fault(&format!("plugin response has an invalid selector: {error}")))?;
        Ok(Attested { agent_id, selectors, can_reattest })
    }

    fn fault(&self, message: &str) -> AttestError {
        attest_error(self.0.internal(message))
    }
}

impl NodeAttestor for ExternalNodeAttestor {
    fn name(&self) -> &str {
        &self.0.program().name
    }

    fn attest<'a>(
        &'a self,
        payload: &'a [u8],
        peer: Option<IpAddr>,
        channel: &'a mut dyn ChallengeChannel,
    ) -> BoxFuture<'a, Result<Attested, AttestError>> {
        Box::pin(async move {
            let attested = self.converse(payload, peer, channel).await;
            // Whoever asked puts the name before it.
            let prefix = self.0.program().prefixed("");
            attested.map_err(|error| {
                let message = error.message.strip_prefix(&prefix).map(str::to_owned).unwrap_or(error.message);
                AttestError { message, ..error }
            })
        })
    }
}

pub(super) fn attest_error(status: Status) -> AttestError {
    let kind = match status.code() {
        Code::FailedPrecondition => AttestStatus::FailedPrecondition,
        Code::Internal => AttestStatus::Internal,
        Code::InvalidArgument => AttestStatus::InvalidArgument,
        Code::PermissionDenied => AttestStatus::PermissionDenied,
        Code::Unavailable => AttestStatus::Unavailable,
        other => AttestStatus::Other(other as i32),
    };
    AttestError::new(kind, status.message())
}

/// SPIRE's names. The host that the agent asked for is not known here, which SPIRE tells in the same way.
const CLIENT_IP: &str = "x-forwarded-client-ip";
const FORWARDED_HOST: &str = "x-untrusted-forwarded-host";
