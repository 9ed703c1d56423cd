//! `agent list`.

use std::io::Write;

use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::list_agents_request::Filter;
use steeple_api::server::agent::{ListAgentsRequest, ListAgentsResponse};
use steeple_api::types::{Agent, AgentMask};
use steeple_cli::{Call, Failure};
use tonic::transport::Channel;

use super::filter::filter_from_flags;
use super::print::print_agent;
use crate::cli::reply::plural;

pub(super) async fn list(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let filter = filter_from_flags(call)?;
    let agents = fetch_all(&mut AgentClient::new(channel), filter, None).await?;
    let response = ListAgentsResponse { agents, next_page_token: String::new() };
    call.print(&response, |streams, response| {
        let out = &mut streams.stdout;
        let count = response.agents.len();
        if count == 0 {
            return Ok(writeln!(out, "No attested agents found")?);
        }
        writeln!(out, "Found {count} attested {}:\n", plural(count, "agent", "agents"))?;
        response.agents.iter().try_for_each(|agent| Ok(print_agent(out, agent)?))
    })
}

/// Every page.
pub(in crate::cli) async fn fetch_all(
    client: &mut AgentClient<Channel>,
    filter: Filter,
    output_mask: Option<AgentMask>,
) -> Result<Vec<Agent>, Failure> {
    let mut agents = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListAgentsRequest { filter: Some(filter.clone()), output_mask, page_size: PAGE_AGENTS, page_token };
        let page = client.list_agents(request).await?.into_inner();
        agents.extend(page.agents);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(agents);
        }
    }
}

/// A page of agents with 2 KiB of selectors each stays below the 4 MiB that a message may have.
const PAGE_AGENTS: i32 = 1000;
