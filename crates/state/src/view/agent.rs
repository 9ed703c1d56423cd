//! Attested agents and join tokens.

use std::ops::Bound;
use std::sync::Arc;

use steeple_core::{AttestedAgent, IdPattern, JoinToken, MatchBehavior, SpiffeId};

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

impl State {
    pub fn agent(&self, id: &SpiffeId) -> Option<&Arc<AttestedAgent>> {
        self.agents.get(id)
    }

    /// In the order of their IDs; the token is the last ID.
    pub fn agents(&self, filter: &AgentFilter, page: PageRequest<'_>) -> Result<Page<Arc<AttestedAgent>>, TokenError> {
        let from = match page.after_agent()? {
            Some(last) => Bound::Excluded(last),
            None => Bound::Unbounded,
        };
        let agents = self.agents.range((from, Bound::Unbounded)).map(|(_, agent)| agent.clone());
        Ok(page.take(agents.filter(|agent| filter.admits(agent)), |agent| agent.id.to_string()))
    }

    pub fn count_agents(&self, filter: &AgentFilter) -> usize {
        self.agents.values().filter(|agent| filter.admits(agent)).count()
    }

    pub fn join_token(&self, value: &str) -> Option<JoinToken> {
        let expires_at = *self.join_tokens.get(value)?;
        Some(JoinToken { value: value.to_owned(), expires_at })
    }

    /// Tokens created and not yet used, expired ones included.
    pub fn count_join_tokens(&self) -> usize {
        self.join_tokens.len()
    }
}

impl PageRequest<'_> {
    /// The last agent of the page before.
    pub fn after_agent(self) -> Result<Option<SpiffeId>, TokenError> {
        self.cursor(|token| SpiffeId::parse(token).ok())
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
