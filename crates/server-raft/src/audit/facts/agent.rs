//! `spire.api.server.agent.v1.Agent`.

use steeple_api::server::agent::*;
use steeple_telemetry::log::Fields;

use super::{decoded, put, put_hash, put_id, put_selectors, put_some};

pub(super) fn facts(method: &str, asked: &[u8], answered: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let known = &mut fields;
    match method {
        "Agent/CountAgents" => {
            let filter = decoded::<CountAgentsRequest>(asked).filter.unwrap_or_default();
            put_some(known, "node_attestor_type", &filter.by_attestation_type);
            put_flags(known, filter.by_banned, filter.by_can_reattest);
            put_selectors(known, filter.by_selector_match.as_ref());
        }
        "Agent/ListAgents" => {
            let filter = decoded::<ListAgentsRequest>(asked).filter.unwrap_or_default();
            put_some(known, "node_attestor_type", &filter.by_attestation_type);
            put_flags(known, filter.by_banned, filter.by_can_reattest);
            put_selectors(known, filter.by_selector_match.as_ref());
        }
        "Agent/GetAgent" => put_id(known, "spiffe_id", decoded::<GetAgentRequest>(asked).id.as_ref()),
        "Agent/DeleteAgent" => put_id(known, "spiffe_id", decoded::<DeleteAgentRequest>(asked).id.as_ref()),
        "Agent/BanAgent" => put_id(known, "spiffe_id", decoded::<BanAgentRequest>(asked).id.as_ref()),
        "Agent/AttestAgent" => {
            if let Some(attest_agent_request::Step::Params(params)) = decoded::<AttestAgentRequest>(asked).step {
                put_some(known, "node_attestor_type", &params.data.unwrap_or_default().r#type);
            }
            if let Some(attest_agent_response::Step::Result(result)) = decoded::<AttestAgentResponse>(answered).step {
                put_id(known, "agent_id", result.svid.unwrap_or_default().id.as_ref());
            }
        }
        "Agent/RenewAgent" => {
            put_hash(known, "csr", &decoded::<RenewAgentRequest>(asked).params.unwrap_or_default().csr);
        }
        "Agent/PostStatus" => put_some(known, "agent_version", &decoded::<PostStatusRequest>(asked).agent_version),
        "Agent/CreateJoinToken" => {
            let request = decoded::<CreateJoinTokenRequest>(asked);
            if request.ttl > 0 {
                put(known, "ttl", i64::from(request.ttl));
            }
            put_id(known, "spiffe_id", request.agent_id.as_ref());
        }
        _ => {}
    }
    fields
}

fn put_flags(fields: &mut Fields, banned: Option<bool>, can_reattest: Option<bool>) {
    for (name, flag) in [("by_banned", banned), ("by_can_reattest", can_reattest)] {
        if let Some(flag) = flag {
            put(fields, name, flag);
        }
    }
}
