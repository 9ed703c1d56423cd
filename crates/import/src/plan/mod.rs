//! From rows to records. Pure: what a row lacks or has too much of is told, never guessed.

mod agent;
mod authority;
mod bundle;
mod entry;
mod join_token;
mod relationship;

use std::fmt;

use steeple_core::{AttestedAgent, Bundle, Entry, FederationRelationship, JoinToken, SpiffeId, Timestamp, TrustDomain};

pub use authority::ImportedAuthority;

use crate::{Database, KeyFile, PlanError};

/// What is to be brought over, in the order in which it must be written.
#[derive(Debug, Default)]
pub struct Plan {
    /// The own one first.
    pub bundles: Vec<Bundle>,
    pub relationships: Vec<FederationRelationship>,
    pub agents: Vec<AttestedAgent>,
    pub entries: Vec<Entry>,
    pub join_tokens: Vec<JoinToken>,
    /// At most two of each kind: an active one, then the one prepared to follow it.
    pub authorities: Vec<ImportedAuthority>,
    pub left_behind: Vec<LeftBehind>,
    /// What a person should know of the whole.
    pub notes: Vec<String>,
}

/// A row, or a part of one, that no server should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    pub noun: Noun,
    /// Its id there. Join tokens, which are credentials, have none.
    pub name: String,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noun {
    Agent,
    Authority,
    Bundle,
    Entry,
    JoinToken,
    Relationship,
}

/// Decides for a server of `trust_domain` at `now`. `key_files` are those of the old servers that have any.
pub fn plan(
    database: Database,
    key_files: &[KeyFile],
    trust_domain: &TrustDomain,
    now: Timestamp,
) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    let bundles = bundle::read(&database, trust_domain, &mut plan);
    check_trust_domain(&database, &bundles, trust_domain)?;
    plan.notes.extend(
        database
            .unknown_columns
            .iter()
            .map(|name| format!("column {name} is none of SPIRE's: what it holds is left behind")),
    );
    agent::read(&database, &mut plan);
    entry::read(&database, &bundles, now, &mut plan);
    relationship::read(&database, &mut plan);
    join_token::read(&database, now, &mut plan);
    authority::read(&database, key_files, now, &mut plan);
    plan.bundles = bundles.into_iter().map(|(_, bundle)| bundle).collect();
    // The own bundle first: authorities must be in it.
    plan.bundles.sort_by_key(|bundle| bundle.trust_domain != *trust_domain);
    Ok(plan)
}

impl Plan {
    fn leave(&mut self, noun: Noun, name: impl fmt::Display, reason: impl fmt::Display) {
        self.left_behind.push(LeftBehind { noun, name: name.to_string(), reason: reason.to_string() });
    }
}

/// A datastore does not say whose it is: its agents and entries do.
fn check_trust_domain(
    database: &Database,
    bundles: &[(i64, Bundle)],
    configured: &TrustDomain,
) -> Result<(), PlanError> {
    let ids = database.agents.iter().map(|agent| &agent.spiffe_id);
    let ids = ids.chain(database.entries.iter().map(|entry| &entry.parent_id));
    let mut found = ids.filter_map(|id| SpiffeId::parse(id).ok()).map(|id| id.trust_domain()).peekable();
    let own = |domain: &TrustDomain| domain == configured;
    if let Some(first) = found.peek().cloned()
        && !found.any(|domain| own(&domain))
    {
        return Err(PlanError::TrustDomain { found: first, configured: configured.clone() });
    }
    if bundles.iter().any(|(_, bundle)| own(&bundle.trust_domain)) {
        return Ok(());
    }
    match bundles {
        [(_, only)] => Err(PlanError::TrustDomain { found: only.trust_domain.clone(), configured: configured.clone() }),
        _ => Err(PlanError::NoBundle(configured.clone())),
    }
}

impl Noun {
    /// In JSON and behind a number: `agent`, `join_token`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Authority => "authority",
            Self::Bundle => "bundle",
            Self::Entry => "entry",
            Self::JoinToken => "join_token",
            Self::Relationship => "federation_relationship",
        }
    }
}
