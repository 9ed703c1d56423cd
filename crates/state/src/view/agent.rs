//! Attested agents and join tokens.

use std::sync::Arc;

use steeple_core::{AttestedAgent, IdPattern, JoinToken, MatchBehavior, SpiffeId, Timestamp};

use super::page::number;
use super::{Page, PageRequest, SelectorFilter, TokenError};
use crate::State;

/// Which agents to list; the default lists all, expired ones included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentFilter {
    pub attestation_type: Option<String>,
    pub selectors: Option<SelectorFilter>,
    pub banned: Option<bool>,
    pub can_reattest: Option<bool>,
    /// Unix seconds; agents whose SVID expires strictly before.
    pub expires_before: Option<i64>,
    /// Only agents with one of these IDs; `None` limits nothing.
    pub within: Option<Arc<[IdPattern]>>,
}

/// The last agent of the page before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentCursor {
    Start,
    /// Of one that has no number.
    Id(SpiffeId),
    Number(u64),
}

impl State {
    pub fn agent(&self, id: &SpiffeId) -> Option<&Arc<AttestedAgent>> {
        self.agents.get(id)
    }

    /// In the order of their first attestation; the token is a record number, or the ID of an agent without one.
    pub fn agents(&self, filter: &AgentFilter, page: PageRequest<'_>) -> Result<Page<Arc<AttestedAgent>>, TokenError> {
        let cursor = page.after_agent()?;
        let wanted = self.agents.after(&cursor).filter(|row| filter.admits(&row.agent));
        let rows = page.take(wanted, |row| match row.number {
            0 => row.agent.id.to_string(),
            number => number.to_string(),
        });
        Ok(Page { items: rows.items.into_iter().map(|row| row.agent.clone()).collect(), next: rows.next })
    }

    pub fn count_agents(&self, filter: &AgentFilter) -> usize {
        self.agents.rows().filter(|row| filter.admits(&row.agent)).count()
    }

    /// The token that a client shows, in the form in which it is held.
    pub fn join_token(&self, token: &str) -> Option<JoinToken> {
        let value = self.join_token_name(token);
        let expires_at = *self.join_tokens.get(&value)?;
        Some(JoinToken { value, expires_at })
    }

    /// In the order of their IDs.
    pub fn all_agents(&self) -> impl Iterator<Item = &AttestedAgent> {
        self.agents.rows().map(|row| row.agent.as_ref())
    }

    /// Of the tokens that were created and not yet used, those that are still good at `now`.
    pub fn count_valid_join_tokens(&self, now: Timestamp) -> usize {
        self.join_tokens.values().filter(|expires_at| **expires_at >= now.as_secs()).count()
    }

    /// Tokens created and not yet used, expired ones included.
    pub fn count_join_tokens(&self) -> usize {
        self.join_tokens.len()
    }
}

impl PageRequest<'_> {
    pub fn after_agent(self) -> Result<AgentCursor, TokenError> {
        let parse = |token: &str| match number(token) {
            // What lies before all numbers.
            Some(0) => Some(AgentCursor::Start),
            Some(number) => Some(AgentCursor::Number(number)),
            None => SpiffeId::parse(token).ok().map(AgentCursor::Id),
        };
        Ok(self.cursor(parse)?.unwrap_or(AgentCursor::Start))
    }
}

impl AgentFilter {
    pub fn admits(&self, agent: &AttestedAgent) -> bool {
        self.attestation_type.as_ref().is_none_or(|kind| *kind == agent.attestation_type)
            && self.selectors.as_ref().is_none_or(|wanted| admits_selectors(wanted, agent))
            && self.banned.is_none_or(|banned| banned == agent.is_banned())
            && self.can_reattest.is_none_or(|can| can == agent.can_reattest)
            && self.expires_before.is_none_or(|before| agent.not_after < before)
            && self.within.as_ref().is_none_or(|ids| ids.iter().any(|pattern| pattern.matches(&agent.id)))
    }
}

/// Agents without selectors never match, not even SUBSET (SPIRE behaviour).
fn admits_selectors(wanted: &SelectorFilter, agent: &AttestedAgent) -> bool {
    let empty_subset = wanted.how == MatchBehavior::Subset && agent.selectors.is_empty();
    !empty_subset && agent.selectors.matches(wanted.how, &wanted.selectors)
}
