//! Whether an entry may be created or updated, given what is stored. When several things are wrong, clients see the
//! first: the order here is SPIRE's.

use std::sync::Arc;

use steeple_core::{Entry, Selector, TrustDomain};

use super::{Action, convertible, creatable, distinct, lifetimes, stored_svid_selectors};
use crate::{Code, EntryMask, EntryUpdate, Rejection, State};

/// The similar entry that exists already, if one does. `selectors` as the client sent them; a replica has only the
/// draft's set, in which none can come twice.
pub fn creation(state: &State, draft: &Entry, selectors: &[Selector]) -> Result<Option<Arc<Entry>>, Rejection> {
    let trust_domain = state.trust_domain().ok_or_else(Rejection::uninitialised)?;
    convertible(draft, EntryMask::ALL, trust_domain)?;
    creatable(draft)?;
    if let Some(existing) = state.entries.similar(draft) {
        return Ok(Some(existing.clone()));
    }
    if state.entry(&draft.id).is_some() {
        return Err(Rejection::new(Code::AlreadyExists, ID_TAKEN));
    }
    known_bundles(state, &draft.federates_with, Action::Create)?;
    distinct(selectors, &draft.dns_names, Action::Create)?;
    Ok(None)
}

/// The entry that the update makes of the stored one.
pub fn update(state: &State, update: &EntryUpdate, selectors: &[Selector]) -> Result<Entry, Rejection> {
    let EntryUpdate { entry: wanted, mask } = update;
    let trust_domain = state.trust_domain().ok_or_else(Rejection::uninitialised)?;
    convertible(wanted, *mask, trust_domain)?;
    lifetimes(wanted, *mask, Action::Update)?;
    let stored = state.entry(&wanted.id).ok_or_else(|| Rejection::not_found("failed to update entry"))?;
    let entry = merged(stored, wanted, *mask);
    // Of selectors that the update leaves alone SPIRE knows nothing, and they may be of several kinds.
    if mask.selectors {
        stored_svid_selectors(entry.store_svid, &entry.selectors, Action::Update)?;
    }
    let (selectors, dns_names) =
        (if mask.selectors { selectors } else { &[] }, if mask.dns_names { wanted.dns_names.as_slice() } else { &[] });
    distinct(selectors, dns_names, Action::Update)?;
    if mask.federates_with {
        known_bundles(state, &wanted.federates_with, Action::Update)?;
    }
    Ok(entry)
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
        // At each update, even when nothing else changes (SPIRE behaviour).
        revision: stored.revision.saturating_add(1),
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

/// Every trust domain must have a stored bundle; the own one counts, when it has one. The first that has none, as they
/// were sent, is named (SPIRE behaviour).
pub(crate) fn known_bundles(state: &State, trust_domains: &[TrustDomain], action: Action) -> Result<(), Rejection> {
    match trust_domains.iter().find(|trust_domain| state.bundle(trust_domain).is_none()) {
        None => Ok(()),
        Some(unknown) => Err(Rejection::internal(format!(
            "failed to {action} entry: unable to find federated bundle \"{}\"",
            unknown.id()
        ))),
    }
}

/// As entries keep them.
pub(crate) fn sorted(trust_domains: &[TrustDomain]) -> Vec<TrustDomain> {
    let mut sorted = trust_domains.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

const ID_TAKEN: &str = "failed to create entry: datastore-sql: UNIQUE constraint failed: registered_entries.entry_id";
