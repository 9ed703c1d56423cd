//! Records between the admin socket and the state.

use std::sync::Arc;

use steeple_api::convert::{
    ConvertError, bundle_from_wire, bundle_to_wire, entry_from_wire, entry_to_wire, id_from_wire, id_to_wire,
    relationship_from_wire, relationship_to_wire, selectors_from_wire, selectors_to_wire,
};
use steeple_api::steeple::server::import_record::Record;
use steeple_api::steeple::server::import_result::Verdict;
use steeple_api::steeple::server::{self as pb, ImportedAgent, ImportedJoinToken};
use steeple_core::{AttestedAgent, JoinToken, TrustDomain};
use steeple_state::{ImportRecord, ImportResult};

/// What cannot be read is refused like what may not be held.
pub fn record_from_wire(trust_domain: &TrustDomain, wire: pb::ImportRecord) -> Result<ImportRecord, ConvertError> {
    Ok(
        match wire.record.ok_or_else(|| ConvertError::new("the record is of a kind that this server does not know"))? {
            Record::Agent(agent) => ImportRecord::Agent(Box::new(agent_from_wire(agent)?)),
            Record::Bundle(bundle) => ImportRecord::Bundle(Arc::new(bundle_from_wire(&bundle, None)?)),
            Record::Entry(entry) => {
                let draft = entry_from_wire(trust_domain, &entry, None).map_err(|unreadable| unreadable.error)?;
                ImportRecord::Entry(Arc::new(draft.entry))
            }
            Record::FederationRelationship(relationship) => {
                ImportRecord::Relationship(relationship_from_wire(&relationship)?.0)
            }
            Record::JoinToken(token) => {
                ImportRecord::JoinToken(JoinToken { value: token.value, expires_at: token.expires_at })
            }
        },
    )
}

pub fn record_to_wire(record: &ImportRecord) -> pb::ImportRecord {
    let record = match record {
        ImportRecord::Agent(agent) => Record::Agent(agent_to_wire(agent)),
        ImportRecord::Bundle(bundle) => Record::Bundle(bundle_to_wire(bundle, None)),
        ImportRecord::Entry(entry) => Record::Entry(entry_to_wire(entry, None)),
        ImportRecord::JoinToken(token) => {
            Record::JoinToken(ImportedJoinToken { value: token.value.clone(), expires_at: token.expires_at })
        }
        ImportRecord::Relationship(relationship) => {
            Record::FederationRelationship(relationship_to_wire(relationship, None, None))
        }
    };
    pb::ImportRecord { record: Some(record) }
}

pub fn result_to_wire(result: ImportResult) -> pb::ImportResult {
    let (verdict, reason) = match result {
        ImportResult::Created => (Verdict::Created, String::new()),
        ImportResult::Unchanged => (Verdict::Unchanged, String::new()),
        ImportResult::Kept(reason) => (Verdict::Kept, reason),
        ImportResult::Conflict(reason) => (Verdict::Conflict, reason),
        ImportResult::Refused(reason) => (Verdict::Refused, reason),
    };
    pb::ImportResult { verdict: verdict.into(), reason }
}

fn agent_from_wire(wire: ImportedAgent) -> Result<AttestedAgent, ConvertError> {
    Ok(AttestedAgent {
        id: id_from_wire(wire.id.as_ref())?,
        attestation_type: wire.attestation_type,
        serial: wire.x509svid_serial_number,
        not_after: wire.x509svid_expires_at,
        new_serial: wire.new_x509svid_serial_number,
        new_not_after: wire.new_x509svid_expires_at,
        can_reattest: wire.can_reattest,
        selectors: selectors_from_wire(&wire.selectors)?.into_iter().collect(),
        agent_version: wire.agent_version,
    })
}

fn agent_to_wire(agent: &AttestedAgent) -> ImportedAgent {
    ImportedAgent {
        id: Some(id_to_wire(&agent.id)),
        attestation_type: agent.attestation_type.clone(),
        x509svid_serial_number: agent.serial.clone(),
        x509svid_expires_at: agent.not_after,
        new_x509svid_serial_number: agent.new_serial.clone(),
        new_x509svid_expires_at: agent.new_not_after,
        can_reattest: agent.can_reattest,
        selectors: selectors_to_wire(&agent.selectors),
        agent_version: agent.agent_version.clone(),
    }
}
