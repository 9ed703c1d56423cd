//! AttestAgent: a small conversation around an attestor, pinned to one replica; only its outcome is replicated, as one
//! command that takes the join token, checks the ban, replaces the selectors and records the serial together.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use steeple_api::convert::id_to_wire;
use steeple_api::server::agent::{
    AttestAgentRequest, AttestAgentResponse, attest_agent_request, attest_agent_response,
};
use steeple_api::types;
use steeple_ca::certificate::CertificateFacts;
use steeple_ca::{Csr, PublicKey, certificate};
use steeple_core::plugin::{AttestError, AttestStatus, Attested, BoxFuture, ChallengeChannel};
use steeple_core::{AttestedAgent, IdError, Selector, SelectorSet, SpiffeId, TrustDomain};
use steeple_state::{Attestation, CommandKind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Code, Status, Streaming};
use tracing::Instrument;

use super::failure;
use super::shared::Shared;
use crate::authz::Authorized;
use crate::call_log;
use crate::issue::{IssuedX509, agent_svid};
use crate::raft::{Away, Place};

pub type Responses = BoxStream<AttestAgentResponse>;

/// Serves one attestation. The whole conversation has a time limit: an agent that falls silent holds nothing for long.
pub fn serve(shared: Arc<Shared>, caller: Authorized, requests: Streaming<AttestAgentRequest>) -> Responses {
    let (sender, responses) = mpsc::channel(RESPONSES_WAITING_MAX);
    let conversation = async move {
        let conversation = run(&shared, &caller, requests, &sender);
        let result = match tokio::time::timeout(CONVERSATION_TIMEOUT, conversation).await {
            Ok(result) => result,
            Err(_) => Err(Status::deadline_exceeded("attestation took too long")),
        };
        if let Err(status) = result {
            call_log::refused(status.code(), status.message());
            // The agent is gone if this fails, and needs no status.
            let _ = sender.send(Err(status)).await;
        }
    };
    tokio::spawn(conversation.in_current_span());
    Box::pin(ReceiverStream::new(responses))
}

async fn run(
    shared: &Shared,
    caller: &Authorized,
    mut requests: Streaming<AttestAgentRequest>,
    responses: &mpsc::Sender<Result<AttestAgentResponse, Status>>,
) -> Result<(), Status> {
    if shared.replica.has_wrong_clock() {
        // Certificates of nodes would seem to have expired.
        return Err(Status::unavailable("this server's clock is wrong; ask another one"));
    }
    let params = first_params(&mut requests).await?;
    let kind = params.kind.clone();
    let mut place = Some(shared.replica.admit_attestation().map_err(failure::of_busy)?);
    let (attested, join_token) = if kind == JOIN_TOKEN {
        let (attested, token) = join_token(shared, params.payload).await?;
        (attested, Some(token))
    } else {
        let peer = caller.caller().remote_addr().map(|address| address.ip());
        let channel = Channel { requests, responses, place: &mut place, broken: None };
        (challenge(shared, &kind, &params.payload, peer, channel).await?, None)
    };
    check_id(&attested.agent_id, shared)?;
    let key = public_key(&params.csr)?;
    let issued = shared.issuer.x509(agent_svid(&attested.agent_id, &key)).await?;
    record(shared, caller, &kind, &attested, join_token, &issued).await?;
    tracing::info!(
        agent_id = %attested.agent_id,
        node_attestor_type = %kind,
        address = caller.caller().remote_addr().map(tracing::field::display),
        event = "Node attestation request completed",
        "Agent attestation request completed"
    );
    let result = attest_agent_response::Result {
        svid: Some(svid_to_wire(&attested.agent_id, issued)),
        reattestable: attested.can_reattest,
    };
    let step = attest_agent_response::Step::Result(result);
    let _ = responses.send(Ok(AttestAgentResponse { step: Some(step) })).await;
    Ok(())
}

struct Params {
    kind: String,
    payload: Vec<u8>,
    csr: Vec<u8>,
}

async fn first_params(requests: &mut Streaming<AttestAgentRequest>) -> Result<Params, Status> {
    let malformed = |why: &str| Status::invalid_argument(format!("malformed param: {why}"));
    let first = match requests.message().await {
        Ok(Some(first)) => first,
        Ok(None) => return Err(Status::invalid_argument("failed to receive request from stream: EOF")),
        Err(status) => {
            return Err(Status::invalid_argument(format!("failed to receive request from stream: {status}")));
        }
    };
    let Some(attest_agent_request::Step::Params(params)) = first.step else {
        return Err(malformed("missing params"));
    };
    let data = params.data.ok_or_else(|| malformed("missing attestation data"))?;
    let csr = params.params.ok_or_else(|| malformed("missing X509-SVID parameters"))?.csr;
    if csr.is_empty() {
        return Err(malformed("missing CSR"));
    }
    if data.r#type.is_empty() {
        return Err(malformed("missing attestation data type"));
    }
    if data.payload.is_empty() {
        return Err(malformed("missing attestation data payload"));
    }
    Ok(Params { kind: data.r#type, payload: data.payload, csr })
}

/// Whether the token is valid is decided when it is taken, by the replicated command: looked at only, so that nothing
/// is signed for a token that never existed. A digest out of the store is no token.
async fn join_token(shared: &Shared, payload: Vec<u8>) -> Result<(Attested, String), Status> {
    let unknown = || Status::invalid_argument("failed to attest: join token does not exist or has already been used");
    let token = String::from_utf8(payload).map_err(|_| unknown())?;
    let view = shared.fresh().await?;
    if view.state().join_token(&token).is_none() {
        return Err(unknown());
    }
    let agent_id = join_token_id(&shared.trust_domain, &token)?;
    Ok((Attested { agent_id, selectors: SelectorSet::default(), can_reattest: false }, token))
}

async fn challenge(
    shared: &Shared,
    kind: &str,
    payload: &[u8],
    peer: Option<IpAddr>,
    mut channel: Channel<'_>,
) -> Result<Attested, Status> {
    let attestor = shared.attestors.get(kind).ok_or_else(|| {
        Status::failed_precondition(format!("error getting node attestor: could not find node attestor type {kind:?}"))
    })?;
    let attested = attestor.attest(payload, peer, &mut channel).await;
    attested.map_err(|error| {
        let refused = || Status::new(status_code(error.status), format!("nodeattestor({kind}): {}", error.message));
        channel.broken.take().unwrap_or_else(refused)
    })
}

/// The stream, as an attestor sees it.
struct Channel<'a> {
    requests: Streaming<AttestAgentRequest>,
    responses: &'a mpsc::Sender<Result<AttestAgentResponse, Status>>,
    /// Not held while the agent has the word.
    place: &'a mut Option<Place>,
    /// Set when the stream failed: no fault of the attestor's, and told without its name.
    broken: Option<Status>,
}

impl Channel<'_> {
    fn failed(&mut self, why: String) -> AttestError {
        self.broken = Some(Status::internal(why.clone()));
        AttestError::internal(why)
    }
}

impl ChallengeChannel for Channel<'_> {
    fn challenge<'a>(&'a mut self, challenge: Vec<u8>) -> BoxFuture<'a, Result<Vec<u8>, AttestError>> {
        Box::pin(async move {
            let step = attest_agent_response::Step::Challenge(challenge);
            let message = Ok(AttestAgentResponse { step: Some(step) });
            if self.responses.send(message).await.is_err() {
                return Err(self.failed("failed to send challenge to agent".to_owned()));
            }
            let away = self.place.take().map(Place::leave);
            let answer = self.requests.message().await;
            *self.place = away.map(Away::back);
            let lost = match answer {
                Ok(Some(AttestAgentRequest {
                    step: Some(attest_agent_request::Step::ChallengeResponse(response)),
                })) => return Ok(response),
                Ok(Some(_)) => return Ok(Vec::new()),
                Ok(None) => "EOF".to_owned(),
                Err(status) => status.to_string(),
            };
            Err(self.failed(format!("failed to receive challenge from agent: {lost}")))
        })
    }
}

fn check_id(id: &SpiffeId, shared: &Shared) -> Result<(), Status> {
    if !id.is_member_of(&shared.trust_domain) {
        let trust_domain = &shared.trust_domain;
        let why = format!(
            "{id:?} is not a member of trust domain {trust_domain:?}",
            id = id.as_str(),
            trust_domain = trust_domain.name()
        );
        return Err(Status::internal(format!("invalid agent ID: {why}")));
    }
    if *id == shared.trust_domain.server_id() {
        return Err(Status::internal("agent ID cannot collide with the server ID"));
    }
    Ok(())
}

async fn record(
    shared: &Shared,
    caller: &Authorized,
    kind: &str,
    attested: &Attested,
    join_token: Option<String>,
    issued: &IssuedX509,
) -> Result<(), Status> {
    let mut selectors = attested.selectors.clone();
    if shared.switches.agent_id_as_selector {
        let own = Selector { kind: "spiffe_id".to_owned(), value: attested.agent_id.to_string() };
        selectors = selectors.into_vec().into_iter().chain([own]).collect();
    }
    let leaf = leaf_facts(&issued.chain)?;
    let agent = AttestedAgent {
        id: attested.agent_id.clone(),
        attestation_type: kind.to_owned(),
        serial: leaf.serial,
        not_after: issued.not_after,
        new_serial: String::new(),
        new_not_after: 0,
        can_reattest: attested.can_reattest,
        selectors,
        agent_version: String::new(),
    };
    let first_use = !attested.can_reattest && join_token.is_none();
    let attestation = Attestation { agent, join_token, first_use };
    // Before it can do anything: nobody may believe meanwhile that all agents are known. Without a record it counts for
    // nothing.
    shared.acknowledgements.attested(&attested.agent_id, leaf.authority_key_id.as_deref().unwrap_or_default());
    shared.propose(caller, CommandKind::AttestAgent(attestation)).await.map(|_| ())
}

/// The public key of an agent's CSR. Its signature proves nothing here: the attestation does, and SPIRE's own agents
/// are not held to it either (recorded behaviour).
pub fn public_key(csr: &[u8]) -> Result<PublicKey, Status> {
    match Csr::parse(csr) {
        Ok(csr) => Ok(csr.public_key),
        Err(error) => Err(Status::invalid_argument(format!("failed to parse CSR: {error}"))),
    }
}

/// In decimal, as serials are compared.
pub fn leaf_serial(chain: &[Vec<u8>]) -> Result<String, Status> {
    leaf_facts(chain).map(|leaf| leaf.serial)
}

fn leaf_facts(chain: &[Vec<u8>]) -> Result<CertificateFacts, Status> {
    let leaf = chain.first().and_then(|leaf| certificate::facts(leaf));
    leaf.ok_or_else(|| Status::internal("the signed certificate cannot be read"))
}

/// The token is one segment of the path.
pub fn join_token_id(trust_domain: &TrustDomain, token: &str) -> Result<SpiffeId, Status> {
    let id = match token.contains('/') {
        true => Err(IdError::BadPathSegmentChar),
        false => trust_domain.member(&format!("/spire/agent/{JOIN_TOKEN}/{token}")),
    };
    id.map_err(|error| Status::internal(format!("failed to create join token ID: {error}")))
}

pub fn svid_to_wire(id: &SpiffeId, issued: IssuedX509) -> types::X509svid {
    types::X509svid {
        cert_chain: issued.chain,
        id: Some(id_to_wire(id)),
        expires_at: issued.not_after,
        hint: String::new(),
    }
}

fn status_code(status: AttestStatus) -> Code {
    match status {
        AttestStatus::FailedPrecondition => Code::FailedPrecondition,
        AttestStatus::InvalidArgument => Code::InvalidArgument,
        AttestStatus::PermissionDenied => Code::PermissionDenied,
        AttestStatus::Unavailable => Code::Unavailable,
        AttestStatus::Other(code) => Code::from(code),
        _ => Code::Internal,
    }
}

/// Built into the core, so that it works without a plugin block (SPIRE behaviour).
const JOIN_TOKEN: &str = "join_token";
const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(60);
const RESPONSES_WAITING_MAX: usize = 1;
