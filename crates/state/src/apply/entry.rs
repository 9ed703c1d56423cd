//! Registration entries: create, update, delete, prune.

use std::sync::Arc;

use steeple_core::{Entry, Timestamp, TrustDomain};

use super::writer::Writer;
use crate::limits::PRUNE_ITEMS_MAX;
use crate::validate::{self, Action};
use crate::{Code, EntryCreation, EntryMask, EntryUpdate, Outcome, Rejection};

pub(super) fn create(writer: &mut Writer<'_>, drafts: &[Arc<Entry>]) -> Outcome {
    Outcome::EntriesCreated(drafts.iter().map(|draft| create_one(writer, draft)).collect())
}

pub(super) fn create_one(writer: &mut Writer<'_>, draft: &Entry) -> EntryCreation {
    if let Err(rejection) = check_draft(writer, draft) {
        return EntryCreation::Rejected(rejection);
    }
    if let Some(existing) = writer.state().entries.similar(draft) {
        return EntryCreation::AlreadyExists(existing.clone());
    }
    if writer.state().entry(&draft.id).is_some() {
        return EntryCreation::Rejected(Rejection::new(Code::AlreadyExists, ID_TAKEN));
    }
    if let Err(rejection) = check_federation(writer, &draft.federates_with, Action::Create) {
        return EntryCreation::Rejected(rejection);
    }
    let entry = created(draft, writer.now());
    EntryCreation::Created(writer.insert_entry(entry))
}

/// The entry that a valid draft becomes when it is applied at `now`.
pub(super) fn created(draft: &Entry, now: Timestamp) -> Entry {
    Entry {
        federates_with: sorted(&draft.federates_with),
        revision: 0,
        // The replicated clock, not the proposer's: a later creation under the same id has a later or equal time.
        created_at: now.as_secs(),
        ..draft.clone()
    }
}

pub(super) fn update(writer: &mut Writer<'_>, updates: &[EntryUpdate]) -> Outcome {
    Outcome::EntriesUpdated(updates.iter().map(|update| update_one(writer, update)).collect())
}

pub(super) fn delete(writer: &mut Writer<'_>, ids: &[String]) -> Outcome {
    let delete_one = |id: &String| {
        if id.is_empty() {
            return Err(Rejection::invalid("missing entry ID"));
        }
        let number = writer.state().entries.number_of(id);
        let number = number.ok_or_else(|| Rejection::not_found("entry not found"))?;
        writer.remove_entry(number);
        Ok(())
    };
    Outcome::Deleted(ids.iter().map(delete_one).collect())
}

pub(super) fn prune(writer: &mut Writer<'_>, before: i64) -> Outcome {
    let items_max = PRUNE_ITEMS_MAX as usize;
    let mut expired: Vec<u64> = writer.state().entries.expired(before).take(items_max + 1).collect();
    let more = expired.len() > items_max;
    expired.truncate(items_max);
    expired.iter().for_each(|number| writer.remove_entry(*number));
    Outcome::Pruned { items: expired.len() as u32, more }
}

fn update_one(writer: &mut Writer<'_>, update: &EntryUpdate) -> Result<Arc<Entry>, Rejection> {
    let trust_domain = writer.trust_domain()?;
    validate::entry(&update.entry, update.mask, &trust_domain, Action::Update)?;
    let stored = writer.state().entry(&update.entry.id);
    let stored = stored.ok_or_else(|| Rejection::not_found("failed to update entry"))?;
    let mut entry = merged(stored, &update.entry, update.mask);
    validate::stored_svid_selectors(&entry, Action::Update)?;
    if update.mask.federates_with {
        check_federation(writer, &entry.federates_with, Action::Update)?;
    }
    // At each update, even when nothing else changes (SPIRE behaviour).
    entry.revision = entry.revision.saturating_add(1);
    Ok(writer.replace_entry(entry))
}

fn merged(stored: &Entry, wanted: &Entry, mask: EntryMask) -> Entry {
    fn pick<T: Clone>(masked: bool, wanted: &T, stored: &T) -> T {
        if masked { wanted.clone() } else { stored.clone() }
    }
    let federates_with = sorted(&wanted.federates_with);
    Entry {
        id: stored.id.clone(),
        spiffe_id: pick(mask.spiffe_id, &wanted.spiffe_id, &stored.spiffe_id),
        parent_id: pick(mask.parent_id, &wanted.parent_id, &stored.parent_id),
        selectors: pick(mask.selectors, &wanted.selectors, &stored.selectors),
        x509_svid_ttl: pick(mask.x509_svid_ttl, &wanted.x509_svid_ttl, &stored.x509_svid_ttl),
        jwt_svid_ttl: pick(mask.jwt_svid_ttl, &wanted.jwt_svid_ttl, &stored.jwt_svid_ttl),
        federates_with: pick(mask.federates_with, &federates_with, &stored.federates_with),
        admin: pick(mask.admin, &wanted.admin, &stored.admin),
        downstream: pick(mask.downstream, &wanted.downstream, &stored.downstream),
        expires_at: pick(mask.expires_at, &wanted.expires_at, &stored.expires_at),
        dns_names: pick(mask.dns_names, &wanted.dns_names, &stored.dns_names),
        revision: stored.revision,
        store_svid: pick(mask.store_svid, &wanted.store_svid, &stored.store_svid),
        hint: pick(mask.hint, &wanted.hint, &stored.hint),
        created_at: stored.created_at,
        disable_x509_svid_prefetch: pick(
            mask.additional_attributes,
            &wanted.disable_x509_svid_prefetch,
            &stored.disable_x509_svid_prefetch,
        ),
        jwt_svid_include_jti: pick(
            mask.additional_attributes,
            &wanted.jwt_svid_include_jti,
            &stored.jwt_svid_include_jti,
        ),
    }
}

fn check_draft(writer: &Writer<'_>, draft: &Entry) -> Result<(), Rejection> {
    let trust_domain = writer.trust_domain()?;
    validate::entry(draft, EntryMask::ALL, &trust_domain, Action::Create)?;
    validate::stored_svid_selectors(draft, Action::Create)?;
    validate::entry_id(&draft.id)
}

/// Every trust domain must have a stored bundle; the own one counts, when it has one (SPIRE behaviour).
fn check_federation(writer: &Writer<'_>, trust_domains: &[TrustDomain], action: Action) -> Result<(), Rejection> {
    match trust_domains.iter().find(|trust_domain| writer.state().bundle(trust_domain).is_none()) {
        None => Ok(()),
        Some(unknown) => Err(Rejection::internal(format!(
            "failed to {action} entry: unable to find federated bundle \"{}\"",
            unknown.id()
        ))),
    }
}

fn sorted(trust_domains: &[TrustDomain]) -> Vec<TrustDomain> {
    let mut sorted = trust_domains.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

const ID_TAKEN: &str = "failed to create entry: datastore-sql: UNIQUE constraint failed: registered_entries.entry_id";
