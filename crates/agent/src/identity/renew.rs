//! RenewAgent: a new SVID for agents that cannot attest again. The old one stays valid until the new one is used.

use std::time::Duration;

use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{AgentX509svidParams, RenewAgentRequest};
use steeple_ca::{SigningKey, csr};
use steeple_core::KeyType;
use steeple_core::plugin::KeyManager;
use tonic::Status;

use super::{AgentSvid, AttestFailure, IdentityError};
use crate::upstream::{CallTimes, Upstream};

pub async fn renew(
    upstream: &Upstream,
    current: &AgentSvid,
    keys: &dyn KeyManager,
) -> Result<AgentSvid, AttestFailure> {
    let key_id = AgentSvid::next_key_id(Some(current));
    let key = keys.generate(key_id, KeyType::EcP256).await.map_err(IdentityError::from)?;
    let signing_key = SigningKey::of(&key).map_err(IdentityError::from)?;
    let csr = csr::request(&signing_key, &current.id, &[]).map_err(IdentityError::from)?;
    let call = |channel| {
        let request = RenewAgentRequest { params: Some(AgentX509svidParams { csr: csr.clone() }) };
        async move { AgentClient::new(channel).renew_agent(request).await }
    };
    let response = upstream.call(RENEW_TIMES, call).await.map_err(Box::new)?.into_inner();
    let svid = response.svid.ok_or_else(|| Box::new(Status::internal("the server sent no SVID")))?;
    Ok(AgentSvid::new(svid.cert_chain, key, key_id.to_owned(), current.reattestable)?)
}

const RENEW_TIMES: CallTimes = CallTimes::long(Duration::from_secs(30));
