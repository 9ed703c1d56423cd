//! Which trust domains are federated with: those of the configuration file and those of the API.

use std::collections::BTreeMap;

use steeple_core::{FederationRelationship, TrustDomain};
use steeple_state::State;
use steeple_state::view::PageRequest;

/// `federates_with` of the configuration. Where the API names the same trust domain, the file wins (SPIRE behaviour);
/// give all replicas the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relationships {
    configured: BTreeMap<TrustDomain, FederationRelationship>,
}

impl Relationships {
    pub fn new(configured: impl IntoIterator<Item = FederationRelationship>) -> Self {
        let configured = configured.into_iter().map(|relationship| (relationship.trust_domain.clone(), relationship));
        Self { configured: configured.collect() }
    }

    /// One for each trust domain.
    pub fn all(&self, state: &State) -> BTreeMap<TrustDomain, FederationRelationship> {
        let stored = state.relationships(PageRequest::ALL).map(|page| page.items).unwrap_or_default();
        let stored = stored.into_iter().map(|stored| stored.relationship);
        let mut all: BTreeMap<_, _> =
            stored.map(|relationship| (relationship.trust_domain.clone(), relationship)).collect();
        all.extend(self.configured.clone());
        all
    }

    pub fn of(&self, state: &State, trust_domain: &TrustDomain) -> Option<FederationRelationship> {
        let configured = self.configured.get(trust_domain).cloned();
        configured.or_else(|| Some(state.relationship(trust_domain)?.relationship))
    }
}
