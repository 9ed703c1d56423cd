//! `agent purge`.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};
use steeple_api::server::agent::DeleteAgentRequest;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::list_agents_request::Filter;
use steeple_api::types::{Agent, AgentMask};
use steeple_cli::{Call, Context, Failure, Flag, Progress, Streams, as_told, one_line, rpc_error};
use steeple_config::GoDuration;
use steeple_core::{Clock, SystemClock, Timestamp};
use tonic::transport::Channel;

use super::list::fetch_all;
use crate::cli::reply::plural;
use crate::cli::selectors::id_text;

pub(super) const FLAGS: &[Flag] = &[
    Flag::bool("dryRun", "Only print what would be removed"),
    Flag::duration("expiredFor", EXPIRED_FOR, "How long ago an agent's SVID must have expired"),
];

/// An expired agent and what became of it.
struct Purged {
    id: String,
    result: PurgeResult,
}

enum PurgeResult {
    Deleted,
    Failed(String),
    /// A dry run.
    Kept,
}

pub(super) async fn purge(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let expired_for = call.values.duration("expiredFor").to_std().unwrap_or(Duration::ZERO);
    let dry_run = call.values.bool("dryRun");
    let mut client = AgentClient::new(channel);
    let filter = Filter { by_can_reattest: Some(true), ..Filter::default() };
    let mask = AgentMask { x509svid_expires_at: true, ..AgentMask::default() };
    let agents = fetch_all(&mut client, filter, Some(mask)).await.context("failed to list agents")?;
    let before = SystemClock.now().saturating_sub(expired_for);
    let expired: Vec<Agent> = agents.into_iter().filter(|agent| is_expired(agent, before)).collect();
    let (total, mut progress) = (expired.len() as u64, Progress::new("purge"));
    let mut purged = Vec::new();
    for agent in expired {
        progress.at(purged.len() as u64, total);
        let id = id_text(agent.id.as_ref());
        let result = if dry_run {
            PurgeResult::Kept
        } else {
            let request = DeleteAgentRequest { id: agent.id };
            match as_told(async || client.delete_agent(request.clone()).await).await {
                Ok(_) => PurgeResult::Deleted,
                Err(status) => PurgeResult::Failed(rpc_error(&status)),
            }
        };
        purged.push(Purged { id, result });
    }
    drop(progress);
    if call.is_json() {
        let agents: Vec<Value> = purged.iter().map(Purged::json).collect();
        return Ok(writeln!(call.streams.stdout, "{}", one_line(json!({ "expired_agents": agents })))?);
    }
    print(&mut call.streams, &purged, dry_run)
}

fn is_expired(agent: &Agent, before: Timestamp) -> bool {
    Timestamp::from_secs(agent.x509svid_expires_at) < before
}

impl Purged {
    fn json(&self) -> Value {
        match &self.result {
            PurgeResult::Deleted => json!({ "agent_id": self.id, "deleted": true }),
            PurgeResult::Failed(error) => json!({ "agent_id": self.id, "deleted": false, "error": error }),
            PurgeResult::Kept => json!({ "agent_id": self.id, "deleted": false }),
        }
    }
}

fn print(streams: &mut Streams, purged: &[Purged], dry_run: bool) -> Result<(), Failure> {
    let out = &mut streams.stdout;
    if purged.is_empty() {
        return Ok(writeln!(out, "No agents to purge.")?);
    }
    writeln!(out, "Found {} expired {}\n", purged.len(), plural(purged.len(), "agent", "agents"))?;
    if dry_run {
        writeln!(out, "\nAgents that can be purged:")?;
        return purged.iter().try_for_each(|agent| Ok(writeln!(out, "SPIFFE ID         : {}", agent.id)?));
    }
    let (deleted, failed): (Vec<_>, Vec<_>) =
        purged.iter().partition(|agent| matches!(agent.result, PurgeResult::Deleted));
    if !deleted.is_empty() {
        writeln!(out, "Agents purged:")?;
    }
    for agent in deleted {
        writeln!(out, "SPIFFE ID         : {}", agent.id)?;
    }
    if !failed.is_empty() {
        writeln!(out, "Agents not purged:")?;
    }
    for agent in failed {
        writeln!(out, "SPIFFE ID         : {}", agent.id)?;
        if let PurgeResult::Failed(error) = &agent.result {
            writeln!(out, "Error             : {error}")?;
        }
    }
    Ok(())
}

/// 30 days (SPIRE's default).
const EXPIRED_FOR: GoDuration = GoDuration::from_secs(30 * 24 * 3600);
