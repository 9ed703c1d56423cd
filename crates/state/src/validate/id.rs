//! What a SPIFFE ID may be used for.

use steeple_core::{SpiffeId, TrustDomain};

/// Why an ID does not fit its purpose; the texts are SPIRE's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdRuleError {
    #[error("\"{id}\" is not a member of trust domain \"{trust_domain}\"")]
    ForeignTrustDomain { id: SpiffeId, trust_domain: TrustDomain },
    #[error("\"{id}\" is not a member of trust domain \"{trust_domain}\"; path is empty")]
    NoPath { id: SpiffeId, trust_domain: TrustDomain },
    #[error("\"{id}\" is not a workload in trust domain \"{trust_domain}\"; path is empty")]
    WorkloadWithoutPath { id: SpiffeId, trust_domain: TrustDomain },
    #[error("\"{id}\" is not a workload in trust domain \"{trust_domain}\"; path is in the reserved namespace")]
    ReservedPath { id: SpiffeId, trust_domain: TrustDomain },
    #[error("\"{id}\" is not an agent in trust domain \"{trust_domain}\"; path is empty")]
    AgentWithoutPath { id: SpiffeId, trust_domain: TrustDomain },
    #[error("\"{id}\" is not an agent in trust domain \"{trust_domain}\"; path is not in the agent namespace")]
    NotAgentPath { id: SpiffeId, trust_domain: TrustDomain },
}

/// In the trust domain, with a path: what a parent ID must be.
pub fn member_id(id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), IdRuleError> {
    in_trust_domain(id, trust_domain)?;
    if id.path().is_empty() {
        return Err(IdRuleError::NoPath { id: id.clone(), trust_domain: trust_domain.clone() });
    }
    Ok(())
}

/// In the trust domain, with a path outside `/spire`: what an entry may hand out.
pub fn workload_id(id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), IdRuleError> {
    in_trust_domain(id, trust_domain)?;
    let (id, trust_domain) = (id.clone(), trust_domain.clone());
    if id.path().is_empty() {
        return Err(IdRuleError::WorkloadWithoutPath { id, trust_domain });
    }
    if id.is_reserved() {
        return Err(IdRuleError::ReservedPath { id, trust_domain });
    }
    Ok(())
}

/// In the trust domain and below `/spire/agent/`.
pub fn agent_id(id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), IdRuleError> {
    in_trust_domain(id, trust_domain)?;
    let (id, trust_domain) = (id.clone(), trust_domain.clone());
    if id.path().is_empty() {
        return Err(IdRuleError::AgentWithoutPath { id, trust_domain });
    }
    if !id.is_agent() {
        return Err(IdRuleError::NotAgentPath { id, trust_domain });
    }
    Ok(())
}

fn in_trust_domain(id: &SpiffeId, trust_domain: &TrustDomain) -> Result<(), IdRuleError> {
    if id.is_member_of(trust_domain) {
        return Ok(());
    }
    Err(IdRuleError::ForeignTrustDomain { id: id.clone(), trust_domain: trust_domain.clone() })
}
