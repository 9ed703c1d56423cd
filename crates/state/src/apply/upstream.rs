//! Roots of the authority above: flagged and removed by an operator, or as they change there.

use steeple_core::{Authority, AuthorityKind, AuthorityStatus, Bundle};

use super::authority::{ROOT_MISSING, TAINT_ROOT_MISSING, change_own};
use super::bundle;
use super::writer::Writer;
use crate::{Outcome, Rejection, UpstreamChanges};

pub(super) fn taint(writer: &mut Writer<'_>, subject_key_id: &str, roots: &[Vec<u8>]) -> Result<Outcome, Rejection> {
    let old = signed_by(writer, subject_key_id)
        .map_err(|why| Rejection::invalid(format!("provided subject key id is not valid: {why}")))?;
    let failed = |why| Rejection::internal(format!("failed to taint upstream authority: {why}"));
    change_own(writer, |bundle| {
        let known: Vec<_> = bundle.x509_authorities.iter_mut().filter(|root| roots.contains(&root.der)).collect();
        if known.is_empty() {
            return Err(failed(TAINT_ROOT_MISSING));
        }
        if known.iter().all(|root| root.tainted) {
            return Err(failed("root CA is already tainted"));
        }
        known.into_iter().for_each(|root| root.tainted = true);
        Ok(())
    })?;
    Ok(Outcome::Authority { id: subject_key_id.to_owned(), not_after: old.not_after })
}

pub(super) fn revoke(writer: &mut Writer<'_>, subject_key_id: &str, roots: &[Vec<u8>]) -> Result<Outcome, Rejection> {
    let old = signed_by(writer, subject_key_id)
        .map_err(|why| Rejection::invalid(format!("invalid subject key ID: {why}")))?;
    let failed = |why| Rejection::internal(format!("failed to revoke X.509 upstream authority: {why}"));
    change_own(writer, |bundle| {
        let mut known = bundle.x509_authorities.iter().filter(|root| roots.contains(&root.der)).peekable();
        if known.peek().is_none() {
            return Err(failed(ROOT_MISSING));
        }
        if known.any(|root| !root.tainted) {
            return Err(failed("it is not possible to revoke an untainted root CA"));
        }
        bundle.x509_authorities.retain(|root| !roots.contains(&root.der));
        Ok(())
    })?;
    Ok(Outcome::Authority { id: subject_key_id.to_owned(), not_after: old.not_after })
}

pub(super) fn follow(writer: &mut Writer<'_>, changes: &UpstreamChanges) -> Result<Outcome, Rejection> {
    bundle::publish(writer, &changes.append, &changes.jwt_authorities)?;
    change_own(writer, |bundle: &mut Bundle| {
        for root in bundle.x509_authorities.iter_mut().filter(|root| changes.taint.contains(&root.der)) {
            root.tainted = true;
        }
        bundle.x509_authorities.retain(|root| !(root.tainted && changes.revoke.contains(&root.der)));
        Ok(())
    })?;
    let stored = writer.state().own_bundle().cloned();
    stored.map(Outcome::Bundle).ok_or_else(|| Rejection::internal("bundle not found"))
}

/// The old authority, if this upstream key signed it and does not sign what is in use or comes next.
fn signed_by(writer: &Writer<'_>, subject_key_id: &str) -> Result<Authority, &'static str> {
    let set = writer.state().authority_set(AuthorityKind::X509);
    let signed = |authority: &Option<Authority>| {
        authority.clone().filter(|authority| authority.upstream_authority_id == subject_key_id)
    };
    if subject_key_id.is_empty() {
        return Err("no subject key ID provided");
    }
    if signed(&set.active).is_some() {
        // The spelling is SPIRE's.
        return Err("unable to use upstream authority singing current authority");
    }
    match signed(&set.next) {
        None => Err("upstream authority didn't sign the old local authority"),
        Some(next) if next.status == AuthorityStatus::Prepared => {
            Err("only upstream authorities signing an old authority can be used")
        }
        Some(old) => Ok(old),
    }
}
