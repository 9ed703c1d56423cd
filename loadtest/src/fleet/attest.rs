//! AttestAgent with x509pop, from the agent's side.

use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{
    AgentX509svidParams, AttestAgentRequest, AttestAgentResponse, attest_agent_request, attest_agent_response,
};
use steeple_api::types;
use steeple_core::plugin::{AgentChannel, AgentNodeAttestor as _, AttestError, BoxFuture};
use steeple_plugins::x509pop::X509PopAgent;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// The SVID's chain, leaf first.
pub(crate) async fn attest(channel: Channel, attestor: &X509PopAgent, csr: Vec<u8>) -> Result<types::X509svid, Status> {
    let (requests, outgoing) = mpsc::channel(1);
    let mut stream = Conversation {
        csr: Some(csr),
        client: AgentClient::new(channel),
        requests,
        outgoing: Some(outgoing),
        responses: None,
        svid: None,
        failure: None,
    };
    let outcome = attestor.attest(&mut stream).await;
    if let Some(status) = stream.failure {
        return Err(status);
    }
    outcome.map_err(|error| Status::internal(error.message))?;
    stream.svid.ok_or_else(|| Status::internal("the server sent no SVID"))
}

/// The stream, as the attestor sees it.
struct Conversation {
    csr: Option<Vec<u8>>,
    client: AgentClient<Channel>,
    requests: mpsc::Sender<AttestAgentRequest>,
    outgoing: Option<mpsc::Receiver<AttestAgentRequest>>,
    responses: Option<Streaming<AttestAgentResponse>>,
    svid: Option<types::X509svid>,
    failure: Option<Status>,
}

impl Conversation {
    /// The first message carries payload and CSR, later ones answer challenges.
    async fn exchange(&mut self, message: Vec<u8>) -> Result<Option<Vec<u8>>, Status> {
        let step = match self.csr.take() {
            Some(csr) => attest_agent_request::Step::Params(attest_agent_request::Params {
                data: Some(types::AttestationData { r#type: "x509pop".to_owned(), payload: message }),
                params: Some(AgentX509svidParams { csr }),
            }),
            None => attest_agent_request::Step::ChallengeResponse(message),
        };
        let closed = || Status::unavailable("attestation stream closed");
        self.requests.send(AttestAgentRequest { step: Some(step) }).await.map_err(|_| closed())?;
        if let Some(outgoing) = self.outgoing.take() {
            self.responses = Some(self.client.attest_agent(ReceiverStream::new(outgoing)).await?.into_inner());
        }
        let responses = self.responses.as_mut().ok_or_else(closed)?;
        match responses.message().await?.and_then(|response| response.step) {
            Some(attest_agent_response::Step::Challenge(challenge)) => Ok(Some(challenge)),
            Some(attest_agent_response::Step::Result(result)) => {
                self.svid = result.svid;
                Ok(None)
            }
            None => Err(closed()),
        }
    }
}

impl AgentChannel for Conversation {
    fn send<'a>(&'a mut self, message: Vec<u8>) -> BoxFuture<'a, Result<Option<Vec<u8>>, AttestError>> {
        Box::pin(async move {
            self.exchange(message).await.map_err(|status| {
                let error = AttestError::internal(status.message());
                self.failure = Some(status);
                error
            })
        })
    }
}
