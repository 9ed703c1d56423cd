//! `agent count`.

use std::io::Write;

use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{CountAgentsRequest, count_agents_request};
use steeple_cli::{Call, Failure};
use tonic::transport::Channel;

use super::filter::filter_from_flags;

pub(super) async fn count(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let filter = filter_from_flags(call)?;
    let filter = count_agents_request::Filter {
        by_attestation_type: filter.by_attestation_type,
        by_selector_match: filter.by_selector_match,
        by_banned: filter.by_banned,
        by_can_reattest: filter.by_can_reattest,
        by_expires_before: filter.by_expires_before,
    };
    let request = CountAgentsRequest { filter: Some(filter) };
    let response = AgentClient::new(channel).count_agents(request).await?.into_inner();
    call.print(&response, |streams, response| {
        let agents = if response.count == 1 { "agent" } else { "agents" };
        Ok(writeln!(streams.stdout, "{} attested {agents}", response.count)?)
    })
}
