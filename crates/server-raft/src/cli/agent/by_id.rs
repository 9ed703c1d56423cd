//! `agent show`, `agent ban` and `agent evict`.

use std::io::Write;

use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{BanAgentRequest, DeleteAgentRequest, GetAgentRequest};
use steeple_api::types::Spiffeid;
use steeple_cli::{Call, Failure, Flag, Values};
use tonic::transport::Channel;

use super::print::print_agent;
use crate::cli::selectors::parse_id;

pub(super) const FLAGS: &[Flag] = &[Flag::text("spiffeID", "SPIFFE ID of the agent")];

pub(super) async fn show(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = GetAgentRequest { id: Some(agent_id(&call.values)?), output_mask: None };
    let agent = AgentClient::new(channel).get_agent(request).await?.into_inner();
    call.print(&agent, |streams, agent| {
        let out = &mut streams.stdout;
        writeln!(out, "Found an attested agent given its SPIFFE ID\n")?;
        print_agent(out, agent)?;
        for selector in &agent.selectors {
            writeln!(out, "Selectors         : {}:{}", selector.r#type, selector.value)?;
        }
        Ok(())
    })
}

pub(super) async fn ban(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = BanAgentRequest { id: Some(agent_id(&call.values)?) };
    AgentClient::new(channel).ban_agent(request).await?;
    done(call, "Agent banned successfully")
}

pub(super) async fn evict(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let request = DeleteAgentRequest { id: Some(agent_id(&call.values)?) };
    AgentClient::new(channel).delete_agent(request).await?;
    done(call, "Agent evicted successfully")
}

fn agent_id(values: &Values) -> Result<Spiffeid, Failure> {
    let text = values.text_if_any("spiffeID").ok_or_else(|| Failure::message("a SPIFFE ID is required"))?;
    parse_id(text).map_err(Failure::message)
}

/// The answer is empty, so JSON is an empty object.
fn done(call: &mut Call, text: &str) -> Result<(), Failure> {
    let line = if call.is_json() { "{}" } else { text };
    Ok(writeln!(call.streams.stdout, "{line}")?)
}
