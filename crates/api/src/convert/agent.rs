//! Attested agents. They are only ever sent: the server makes them.

use steeple_core::AttestedAgent;

use super::{id_to_wire, selectors_to_wire};
use crate::types;

pub fn agent_to_wire(agent: &AttestedAgent, mask: Option<&types::AgentMask>) -> types::Agent {
    let wanted = |field: fn(&types::AgentMask) -> bool| mask.is_none_or(field);
    let mut wire = types::Agent { id: Some(id_to_wire(&agent.id)), ..types::Agent::default() };
    if wanted(|mask| mask.attestation_type) {
        wire.attestation_type.clone_from(&agent.attestation_type);
    }
    if wanted(|mask| mask.x509svid_serial_number) {
        wire.x509svid_serial_number.clone_from(&agent.serial);
    }
    if wanted(|mask| mask.x509svid_expires_at) {
        wire.x509svid_expires_at = agent.not_after;
    }
    if wanted(|mask| mask.selectors) {
        wire.selectors = selectors_to_wire(&agent.selectors);
    }
    if wanted(|mask| mask.banned) {
        wire.banned = agent.is_banned();
    }
    if wanted(|mask| mask.can_reattest) {
        wire.can_reattest = agent.can_reattest;
    }
    if wanted(|mask| mask.agent_version) {
        wire.agent_version.clone_from(&agent.agent_version);
    }
    wire
}
