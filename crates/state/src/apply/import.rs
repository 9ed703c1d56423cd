//! Records of another server: all that are missing here, or none when one is in conflict.

use steeple_core::Entry;

use super::writer::Writer;
use crate::import::merged_bundle;
use crate::join_token::UsedTokens;
use crate::limits::IMPORT_RECORDS_MAX;
use crate::validate::{self, Action};
use crate::{AgentChange, Code, ImportRecord, ImportResult, Outcome, Rejection};

pub(super) fn import(writer: &mut Writer<'_>, records: &[ImportRecord]) -> Result<Outcome, Rejection> {
    if records.len() > IMPORT_RECORDS_MAX {
        let message = format!("more than {IMPORT_RECORDS_MAX} records in one import: send fewer at a time");
        return Err(Rejection::new(Code::ResourceExhausted, message));
    }
    let used = writer.state().used_tokens(records);
    let judge = |record: &ImportRecord| writer.state().import_result_beside(record, &used);
    let judged: Vec<ImportResult> = records.iter().map(judge).collect();
    if judged.iter().any(ImportResult::is_conflict) {
        return Ok(Outcome::Imported(judged));
    }
    Ok(Outcome::Imported(records.iter().map(|record| write(writer, record, &used)).collect()))
}

/// Judged again: an earlier record of the same command may have changed the answer.
fn write(writer: &mut Writer<'_>, record: &ImportRecord, used: &UsedTokens) -> ImportResult {
    let judged = writer.state().import_result_beside(record, used);
    if judged.is_conflict() {
        return ImportResult::Refused("the source has another record of the same name".to_owned());
    }
    if judged != ImportResult::Created {
        return judged;
    }
    match record {
        ImportRecord::Agent(agent) => {
            writer.put_agent((**agent).clone(), AgentChange::Attested);
        }
        ImportRecord::Bundle(bundle) => {
            let own = writer.state().own_bundle().filter(|own| own.trust_domain == bundle.trust_domain).cloned();
            match merged_bundle(own.as_deref(), bundle) {
                Ok(merged) => {
                    writer.put_bundle(merged);
                }
                Err(key_id) => return ImportResult::Refused(format!("key ID \"{key_id}\" stands for two keys")),
            }
        }
        ImportRecord::Entry(entry) => {
            if let Err(rejection) = validate::known_bundles(writer.state(), &entry.federates_with, Action::Create) {
                return ImportResult::Refused(rejection.message);
            }
            let federates_with = validate::sorted(&entry.federates_with);
            writer.insert_entry(Entry { federates_with, ..(**entry).clone() });
        }
        ImportRecord::JoinToken(token) => writer.put_join_token(token),
        ImportRecord::Relationship(relationship) => writer.put_relationship(relationship.clone()),
    }
    ImportResult::Created
}
