//! AttestAgent from the agent's side: payload, challenges, SVID.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{
    AgentX509svidParams, AttestAgentRequest, AttestAgentResponse, attest_agent_request, attest_agent_response,
};
use steeple_api::types;
use steeple_ca::{SigningKey, csr};
use steeple_core::plugin::{AgentChannel, AgentNodeAttestor, AttestError, AttestStatus, BoxFuture, KeyManager};
use steeple_core::{KeyType, TrustDomain, rpc_code_name};
use steeple_telemetry::metric::CallTimer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::{AgentSvid, IdentityError};
use crate::bootstrap::BootstrapError;
use crate::metrics;
use crate::upstream::explained;

#[derive(Debug, thiserror::Error)]
pub enum AttestFailure {
    #[error("{}", explained(.0))]
    Status(Box<Status>),
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("node attestation took longer than {0:?}")]
    Timeout(Duration),
}

/// The status is no `source`: what is to be said of it is said.
impl From<Box<Status>> for AttestFailure {
    fn from(status: Box<Status>) -> Self {
        Self::Status(status)
    }
}

impl AttestFailure {
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Status(status) => status.code(),
            Self::Bootstrap(_) | Self::Identity(_) => Code::Unknown,
            Self::Timeout(_) => Code::DeadlineExceeded,
        }
    }
}

/// One attestation over `channel`. The new key goes to `key_id`.
pub async fn attest(
    channel: Channel,
    attestor: &Arc<dyn AgentNodeAttestor>,
    keys: &dyn KeyManager,
    key_id: &str,
    trust_domain: &TrustDomain,
) -> Result<AgentSvid, AttestFailure> {
    let timer = CallTimer::start(metrics::NEW_SVID).label("attestor", attestor.name());
    let attested = attest_uncounted(channel, attestor, keys, key_id, trust_domain).await;
    timer.done(rpc_code_name(attested.as_ref().map_or_else(AttestFailure::code, |_| Code::Ok) as i32));
    attested
}

async fn attest_uncounted(
    channel: Channel,
    attestor: &Arc<dyn AgentNodeAttestor>,
    keys: &dyn KeyManager,
    key_id: &str,
    trust_domain: &TrustDomain,
) -> Result<AgentSvid, AttestFailure> {
    let key = keys.generate(key_id, KeyType::EcP256).await.map_err(IdentityError::from)?;
    let signing_key = SigningKey::of(&key).map_err(IdentityError::from)?;
    // Servers look at the public key only; the subject and the absent ID are what SPIRE's agent sends.
    let csr = csr::request(&signing_key, &trust_domain.id(), &[]).map_err(IdentityError::from)?;
    let conversation = converse(channel, attestor, csr);
    let answer = match tokio::time::timeout(ATTEST_TIMEOUT, conversation).await {
        Ok(answer) => answer.map_err(Box::new)?,
        Err(_) => return Err(AttestFailure::Timeout(ATTEST_TIMEOUT)),
    };
    let svid = answer.svid.ok_or_else(|| Box::new(Status::internal("the server sent no SVID")))?;
    Ok(AgentSvid::new(svid.cert_chain, key, key_id.to_owned(), answer.reattestable)?)
}

async fn converse(
    channel: Channel,
    attestor: &Arc<dyn AgentNodeAttestor>,
    csr: Vec<u8>,
) -> Result<attest_agent_response::Result, Status> {
    let (requests, outgoing) = mpsc::channel(1);
    let mut stream = Conversation {
        kind: attestor.name().to_owned(),
        csr: Some(csr),
        client: AgentClient::new(channel),
        requests,
        outgoing: Some(outgoing),
        responses: None,
        result: None,
        failure: None,
    };
    let outcome = attestor.attest(&mut stream).await;
    if let Some(status) = stream.failure {
        return Err(status);
    }
    outcome.map_err(|error| Status::new(code(error.status), error.message))?;
    stream.result.ok_or_else(|| Status::internal("the attestor ended before the server answered"))
}

/// The stream, as an attestor sees it.
struct Conversation {
    kind: String,
    csr: Option<Vec<u8>>,
    client: AgentClient<Channel>,
    requests: mpsc::Sender<AttestAgentRequest>,
    outgoing: Option<mpsc::Receiver<AttestAgentRequest>>,
    responses: Option<Streaming<AttestAgentResponse>>,
    result: Option<attest_agent_response::Result>,
    /// What the server said, kept whole: its code and details decide what the agent does.
    failure: Option<Status>,
}

impl Conversation {
    /// The first message carries payload and CSR, later ones answer challenges.
    async fn exchange(&mut self, message: Vec<u8>) -> Result<Option<Vec<u8>>, Status> {
        let step = match self.csr.take() {
            Some(csr) => attest_agent_request::Step::Params(attest_agent_request::Params {
                data: Some(types::AttestationData { r#type: self.kind.clone(), payload: message }),
                params: Some(AgentX509svidParams { csr }),
            }),
            None => attest_agent_request::Step::ChallengeResponse(message),
        };
        let gone = |_| Status::unavailable("attestation stream closed");
        self.requests.send(AttestAgentRequest { step: Some(step) }).await.map_err(gone)?;
        if let Some(outgoing) = self.outgoing.take() {
            let responses = self.client.attest_agent(ReceiverStream::new(outgoing)).await?.into_inner();
            self.responses = Some(responses);
        }
        let Some(responses) = self.responses.as_mut() else {
            return Err(Status::internal("attestation stream was not opened"));
        };
        let response = responses.message().await?;
        match response.and_then(|response| response.step) {
            Some(attest_agent_response::Step::Challenge(challenge)) => Ok(Some(challenge)),
            Some(attest_agent_response::Step::Result(result)) => {
                self.result = Some(result);
                Ok(None)
            }
            None => Err(Status::unavailable("attestation stream ended early")),
        }
    }
}

impl AgentChannel for Conversation {
    fn send<'a>(&'a mut self, message: Vec<u8>) -> BoxFuture<'a, Result<Option<Vec<u8>>, AttestError>> {
        Box::pin(async move {
            match self.exchange(message).await {
                Ok(challenge) => Ok(challenge),
                Err(status) => {
                    let error = AttestError::internal(status.message());
                    self.failure = Some(status);
                    Err(error)
                }
            }
        })
    }
}

fn code(status: AttestStatus) -> Code {
    match status {
        AttestStatus::FailedPrecondition => Code::FailedPrecondition,
        AttestStatus::InvalidArgument => Code::InvalidArgument,
        AttestStatus::PermissionDenied => Code::PermissionDenied,
        AttestStatus::Unavailable => Code::Unavailable,
        AttestStatus::Other(code) => Code::from(code),
        _ => Code::Internal,
    }
}

const ATTEST_TIMEOUT: Duration = Duration::from_secs(30);
