//! Attested agents: attestation, renewal, ban, eviction, pruning.

use std::sync::Arc;

use steeple_core::{AttestedAgent, Entry, SpiffeId, Timestamp};

use super::writer::Writer;
use crate::limits::{AGENT_VERSION_CHARS_MAX, CASCADE_ENTRIES_MAX, PRUNE_ITEMS_MAX};
use crate::{AgentChange, Attestation, CLUSTER_VERSION_TOKEN_FRACTIONS, Code, Outcome, Rejection, State};

/// Token, ban, record and selectors in one step, so that no two attestations can use one token and none outruns a ban.
pub(super) fn attest(writer: &mut Writer<'_>, attestation: &Attestation) -> Result<Outcome, Rejection> {
    let wanted = &attestation.agent;
    if let Some(token) = &attestation.join_token {
        // The token is gone even when it turns out to be expired or its agent banned (SPIRE behaviour).
        let expires_at = writer.take_join_token(token).ok_or_else(|| Rejection::invalid(TOKEN_UNKNOWN))?;
        if is_over(writer, expires_at) {
            return Err(Rejection::invalid("join token expired"));
        }
    }
    let known = writer.state().agent(&wanted.id).cloned();
    if let Some(known) = &known {
        if attestation.first_use {
            return Err(Rejection::denied(format!(
                "nodeattestor({}): attestation data has already been used to attest an agent",
                wanted.attestation_type
            )));
        }
        if known.is_banned() {
            return Err(Rejection::denied("failed to attest: agent is banned"));
        }
    }
    if wanted.serial.is_empty() {
        // An empty serial means "banned".
        return Err(Rejection::invalid("failed to attest: the agent SVID has no serial number"));
    }
    let (attestation_type, agent_version) = match &known {
        Some(known) => (known.attestation_type.clone(), known.agent_version.clone()),
        None => (wanted.attestation_type.clone(), String::new()),
    };
    let agent = AttestedAgent {
        attestation_type,
        agent_version,
        new_serial: String::new(),
        new_not_after: 0,
        ..wanted.clone()
    };
    Ok(Outcome::Agent(writer.put_agent(agent, AgentChange::Attested)))
}

/// As SPIRE compares: whole seconds with the exact time.
fn is_over(writer: &Writer<'_>, expires_at: i64) -> bool {
    match writer.state().cluster_version() {
        CLUSTER_VERSION_TOKEN_FRACTIONS.. => Timestamp::from_secs(expires_at) < writer.now(),
        _ => expires_at < writer.now().as_secs(),
    }
}

/// A renewal that was signed before a ban and arrives after it is refused: the ban stands. One that arrives after
/// another one is refused as well: the agent has left the call, and shows the other one's SVID perhaps.
pub(super) fn set_pending_serial(
    writer: &mut Writer<'_>,
    id: &SpiffeId,
    (serial, not_after): (&str, i64),
    replaces: Option<&str>,
) -> Result<Outcome, Rejection> {
    let known = unbanned(writer.state(), id)?;
    if known.can_reattest {
        return Err(Rejection::denied("agent must reattest instead of renew"));
    }
    if serial.is_empty() {
        return Err(Rejection::invalid("the renewed agent SVID has no serial number"));
    }
    if replaces.is_some_and(|replaces| replaces != known.new_serial) {
        return Err(Rejection::new(Code::Aborted, "the agent was renewed meanwhile: renew again"));
    }
    let agent = AttestedAgent { new_serial: serial.to_owned(), new_not_after: not_after, ..(*known).clone() };
    Ok(Outcome::Agent(writer.put_agent(agent, AgentChange::Pending)))
}

pub(super) fn promote_serial(writer: &mut Writer<'_>, id: &SpiffeId, serial: &str) -> Result<Outcome, Rejection> {
    let known = unbanned(writer.state(), id)?;
    if known.serial == serial {
        return Ok(Outcome::Agent(known));
    }
    if known.new_serial.is_empty() || known.new_serial != serial {
        return Err(Rejection::denied("agent is not active"));
    }
    let agent = AttestedAgent {
        serial: known.new_serial.clone(),
        not_after: known.new_not_after,
        new_serial: String::new(),
        new_not_after: 0,
        ..(*known).clone()
    };
    Ok(Outcome::Agent(writer.put_agent(agent, AgentChange::Promoted)))
}

/// An empty version changes nothing.
pub(super) fn set_version(writer: &mut Writer<'_>, id: &SpiffeId, version: &str) -> Result<Outcome, Rejection> {
    if version.chars().count() > AGENT_VERSION_CHARS_MAX {
        return Err(Rejection::invalid(format!(
            "agent version is too long (max {AGENT_VERSION_CHARS_MAX} characters)"
        )));
    }
    let known = find(writer.state(), id)?;
    if !version.is_empty() {
        let agent = AttestedAgent { agent_version: version.to_owned(), ..(*known).clone() };
        writer.put_agent(agent, AgentChange::Version);
    }
    Ok(Outcome::Done)
}

pub(super) fn ban(writer: &mut Writer<'_>, id: &SpiffeId) -> Result<Outcome, Rejection> {
    let known = find(writer.state(), id)?;
    let agent =
        AttestedAgent { serial: String::new(), new_serial: String::new(), new_not_after: 0, ..(*known).clone() };
    writer.put_agent(agent, AgentChange::Banned);
    Ok(Outcome::Done)
}

pub(super) fn delete(writer: &mut Writer<'_>, id: &SpiffeId) -> Result<Outcome, Rejection> {
    let known = find(writer.state(), id)?;
    evict(writer, &known)?;
    Ok(Outcome::Done)
}

pub(super) fn prune(writer: &mut Writer<'_>, expired_before: i64, include_tofu: bool, items_max: u32) -> Outcome {
    let items_max = items_max.min(PRUNE_ITEMS_MAX) as usize;
    let prunable = |agent: &&Arc<AttestedAgent>| {
        agent.not_after < expired_before && !agent.is_banned() && (include_tofu || agent.can_reattest)
    };
    let agents = writer.state().agents.rows().map(|row| &row.agent);
    let mut expired: Vec<_> = agents.filter(prunable).take(items_max + 1).cloned().collect();
    let mut more = expired.len() > items_max;
    expired.truncate(items_max);
    let mut items = 0;
    for agent in expired {
        match evict(writer, &agent) {
            Ok(()) => items += 1,
            Err(_) => {
                more = true;
                break;
            }
        }
    }
    Outcome::Pruned { items, more }
}

/// Removes the agent and, for one that came by a join token, the alias entries made along with the token.
fn evict(writer: &mut Writer<'_>, agent: &AttestedAgent) -> Result<(), Rejection> {
    let aliases = token_aliases(writer.state(), agent);
    let complete = aliases.len() <= CASCADE_ENTRIES_MAX;
    aliases.iter().take(CASCADE_ENTRIES_MAX).for_each(|number| writer.remove_entry(*number));
    if !complete {
        return Err(Rejection::new(Code::Aborted, "failed to remove agent: alias entries remain: repeat the request"));
    }
    writer.remove_agent(&agent.id);
    Ok(())
}

/// At most one more than [`CASCADE_ENTRIES_MAX`].
fn token_aliases(state: &State, agent: &AttestedAgent) -> Vec<u64> {
    if agent.attestation_type != "join_token" {
        return Vec::new();
    }
    let Some(children) = state.entries.children(&agent.id) else { return Vec::new() };
    let is_alias = |entry: &Entry| match entry.selectors.as_slice() {
        [only] => only.kind == "spiffe_id" && only.value == entry.parent_id.as_str(),
        _ => false,
    };
    let aliases = children.as_slice().iter().copied();
    aliases
        .filter(|number| state.entries.get(*number).is_some_and(|entry| is_alias(entry)))
        .take(CASCADE_ENTRIES_MAX + 1)
        .collect()
}

fn find(state: &State, id: &SpiffeId) -> Result<Arc<AttestedAgent>, Rejection> {
    state.agent(id).cloned().ok_or_else(|| Rejection::not_found("agent not found"))
}

fn unbanned(state: &State, id: &SpiffeId) -> Result<Arc<AttestedAgent>, Rejection> {
    let known = find(state, id)?;
    if known.is_banned() { Err(Rejection::denied("agent is banned")) } else { Ok(known) }
}

const TOKEN_UNKNOWN: &str = "failed to attest: join token does not exist or has already been used";
