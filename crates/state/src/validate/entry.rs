//! The rules for entries (SPIRE behaviour); each function reports the first fault in SPIRE's order.

use std::fmt;

use steeple_core::{Entry, SelectorSet, TrustDomain};

use super::{dns_name, member_id, workload_id};
use crate::limits::{ENTRY_ID_BYTES_MAX, HINT_BYTES_MAX};
use crate::{EntryMask, Rejection};

/// What was being done, for the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
}

/// What SPIRE refuses while it reads an entry, among the fields that `mask` names.
pub fn convertible(entry: &Entry, mask: EntryMask, trust_domain: &TrustDomain) -> Result<(), Rejection> {
    if mask.parent_id {
        let parent = member_id(&entry.parent_id, trust_domain);
        parent.map_err(|error| unconvertible(format!("invalid parent ID: {error}")))?;
    }
    if mask.spiffe_id {
        let id = workload_id(&entry.spiffe_id, trust_domain);
        id.map_err(|error| unconvertible(format!("invalid spiffe ID: {error}")))?;
    }
    if mask.dns_names {
        for name in &entry.dns_names {
            dns_name(name).map_err(|error| unconvertible(format!("invalid DNS name: {error}")))?;
        }
    }
    if mask.selectors && entry.selectors.is_empty() {
        return Err(unconvertible("selector list is empty"));
    }
    if mask.hint && entry.hint.len() > HINT_BYTES_MAX {
        return Err(unconvertible(format!("hint is too long, max length is {HINT_BYTES_MAX} characters")));
    }
    Ok(())
}

/// What SPIRE's datastore refuses to create, whatever else is stored.
pub fn creatable(entry: &Entry) -> Result<(), Rejection> {
    if entry.store_svid && entry.disable_x509_svid_prefetch {
        return Err(invalid(Action::Create, "specifying cache behaviour is incompatible with storable SVIDs"));
    }
    stored_svid_selectors(entry.store_svid, &entry.selectors, Action::Create)?;
    entry_id(&entry.id)?;
    lifetimes(entry, EntryMask::ALL, Action::Create)
}

/// Lifetimes that `mask` names, in seconds; 0 is the server's default.
pub fn lifetimes(entry: &Entry, mask: EntryMask, action: Action) -> Result<(), Rejection> {
    if mask.x509_svid_ttl && entry.x509_svid_ttl < 0 {
        return Err(invalid(action, "invalid registration entry: X509SvidTtl is not set"));
    }
    if mask.jwt_svid_ttl && entry.jwt_svid_ttl < 0 {
        return Err(invalid(action, "invalid registration entry: JwtSvidTtl is not set"));
    }
    Ok(())
}

/// An SVID that agents store must be findable by selectors of one kind.
pub fn stored_svid_selectors(stored: bool, selectors: &SelectorSet, action: Action) -> Result<(), Rejection> {
    let mut kinds = selectors.iter().map(|selector| &selector.kind);
    let first = kinds.next();
    if stored && kinds.any(|kind| Some(kind) != first) {
        return Err(invalid(
            action,
            "invalid registration entry: selector types must be the same when store SVID is enabled",
        ));
    }
    Ok(())
}

/// An id that the client chose, or one made for it.
fn entry_id(id: &str) -> Result<(), Rejection> {
    if id.is_empty() {
        return Err(Rejection::invalid("missing entry ID"));
    }
    if id.len() > ENTRY_ID_BYTES_MAX {
        return Err(invalid(Action::Create, "invalid registration entry: entry ID too long"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !id.bytes().all(allowed) {
        return Err(invalid(Action::Create, "invalid registration entry: entry ID contains invalid characters"));
    }
    Ok(())
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Update => "update",
        })
    }
}

fn unconvertible(reason: impl fmt::Display) -> Rejection {
    Rejection::invalid(format!("failed to convert entry: {reason}"))
}

fn invalid(action: Action, reason: &str) -> Rejection {
    Rejection::invalid(format!("failed to {action} entry: datastore-validation: {reason}"))
}
