//! Bundles: the own one grows by authorities, those of other trust domains are written whole.

use std::sync::Arc;

use steeple_core::{Bundle, JwtAuthority, TrustDomain, X509Authority};

use super::writer::Writer;
use crate::limits::CASCADE_ENTRIES_MAX;
use crate::{BundleMask, BundleUpdate, CLUSTER_VERSION_LATER_EXPIRY, Code, DeleteMode, Outcome, Rejection};

// === The own bundle ===

pub(super) fn append(
    writer: &mut Writer<'_>,
    x509_authorities: &[Vec<u8>],
    jwt_authorities: &[JwtAuthority],
) -> Result<Outcome, Rejection> {
    if x509_authorities.is_empty() && jwt_authorities.is_empty() {
        return Err(Rejection::invalid("no authorities to append"));
    }
    publish(writer, x509_authorities, jwt_authorities).map(Outcome::Bundle)
}

pub(super) fn publish_jwt(writer: &mut Writer<'_>, authority: &JwtAuthority) -> Result<Outcome, Rejection> {
    publish(writer, &[], std::slice::from_ref(authority)).map(Outcome::Bundle)
}

/// Adds what is not there yet. The sequence begins at 0 and rises with each effective change (SPIRE behaviour).
pub(super) fn publish(
    writer: &mut Writer<'_>,
    x509_authorities: &[Vec<u8>],
    jwt_authorities: &[JwtAuthority],
) -> Result<Arc<Bundle>, Rejection> {
    let extends = writer.state().cluster_version() >= CLUSTER_VERSION_LATER_EXPIRY;
    grow(writer, |bundle| {
        for der in x509_authorities {
            if bundle.x509_authorities.iter().all(|known| known.der != *der) {
                bundle.x509_authorities.push(X509Authority { der: der.clone(), tainted: false });
            }
        }
        jwt_authorities.iter().try_for_each(|authority| add_key(&mut bundle.jwt_authorities, "JWT", authority, extends))
    })
}

/// As [`publish`], a key for WIT-SVIDs.
pub(super) fn publish_wit(writer: &mut Writer<'_>, authority: &JwtAuthority) -> Result<Arc<Bundle>, Rejection> {
    grow(writer, |bundle| add_key(&mut bundle.wit_authorities, "WIT", authority, false))
}

/// Changes the own bundle, or begins it.
fn grow(
    writer: &mut Writer<'_>,
    change: impl FnOnce(&mut Bundle) -> Result<(), Rejection>,
) -> Result<Arc<Bundle>, Rejection> {
    let trust_domain = writer.trust_domain()?;
    let stored = writer.state().bundle(&trust_domain).cloned();
    let mut bundle = stored.as_deref().cloned().unwrap_or_else(|| Bundle::empty(trust_domain));
    change(&mut bundle)?;
    Ok(write_own(writer, stored, bundle))
}

/// A key that is known already is held once, and as long as anybody wants it to be held where it `extends`.
fn add_key(
    keys: &mut Vec<JwtAuthority>,
    profile: &str,
    authority: &JwtAuthority,
    extends: bool,
) -> Result<(), Rejection> {
    match keys.iter_mut().find(|known| known.key_id == authority.key_id) {
        None => keys.push(JwtAuthority { tainted: false, ..authority.clone() }),
        Some(known) if known.public_key == authority.public_key => {
            // 0 is no expiry.
            let is_later = authority.expires_at == 0 || authority.expires_at > known.expires_at;
            if extends && known.expires_at != 0 && is_later {
                known.expires_at = authority.expires_at;
            }
        }
        // A verifier could not tell two keys of one id apart.
        Some(_) => {
            let message = format!("another {profile} authority with key ID \"{}\" exists", authority.key_id);
            return Err(Rejection::invalid(message));
        }
    }
    Ok(())
}

pub(super) fn prune(
    writer: &mut Writer<'_>,
    x509_authorities: &[Vec<u8>],
    jwt_expired_before: i64,
) -> Result<Outcome, Rejection> {
    let stored = writer.state().own_bundle().cloned();
    let stored = stored.ok_or_else(|| Rejection::not_found("bundle not found"))?;
    let mut bundle = (*stored).clone();
    bundle.x509_authorities.retain(|authority| !x509_authorities.contains(&authority.der));
    // 0 means that the expiry is not known, which is not the same as expired.
    let is_kept = |key: &JwtAuthority| key.expires_at == 0 || key.expires_at >= jwt_expired_before;
    bundle.jwt_authorities.retain(is_kept);
    // The last one too: its feature may have been switched off, and it would keep everything else from being pruned.
    bundle.wit_authorities.retain(is_kept);
    if bundle.x509_authorities.is_empty() && !stored.x509_authorities.is_empty() {
        return Err(Rejection::internal("prune failed: would prune all certificates"));
    }
    if bundle.jwt_authorities.is_empty() && !stored.jwt_authorities.is_empty() {
        return Err(Rejection::internal("prune failed: would prune all JWT signing keys"));
    }
    Ok(Outcome::Bundle(write_own(writer, Some(stored), bundle)))
}

/// Writes the own bundle under the next sequence number, unless it equals the stored one.
pub(super) fn write_own(writer: &mut Writer<'_>, stored: Option<Arc<Bundle>>, mut bundle: Bundle) -> Arc<Bundle> {
    match stored {
        None => writer.put_bundle(bundle),
        Some(stored) if *stored == bundle => stored,
        Some(stored) => {
            bundle.sequence = stored.sequence.saturating_add(1);
            writer.put_bundle(bundle)
        }
    }
}

// === Bundles of other trust domains ===

pub(super) fn create(writer: &mut Writer<'_>, bundles: &[Arc<Bundle>]) -> Outcome {
    let create_one = |bundle: &Arc<Bundle>| {
        refuse_own(writer, &bundle.trust_domain, "creating")?;
        match writer.state().bundle(&bundle.trust_domain) {
            Some(_) => Err(Rejection::new(Code::AlreadyExists, "bundle already exists")),
            None => Ok(writer.put_bundle((**bundle).clone())),
        }
    };
    Outcome::Bundles(bundles.iter().map(create_one).collect())
}

pub(super) fn update(writer: &mut Writer<'_>, updates: &[BundleUpdate]) -> Outcome {
    let update_one = |update: &BundleUpdate| {
        refuse_own(writer, &update.bundle.trust_domain, "updating")?;
        let stored = writer.state().bundle(&update.bundle.trust_domain);
        let stored = stored.ok_or_else(|| Rejection::not_found("bundle not found"))?;
        let bundle = merged(stored, &update.bundle, update.mask);
        Ok(writer.put_bundle(bundle))
    };
    Outcome::Bundles(updates.iter().map(update_one).collect())
}

pub(super) fn set(writer: &mut Writer<'_>, bundles: &[Arc<Bundle>]) -> Outcome {
    let set_one = |bundle: &Arc<Bundle>| {
        refuse_own(writer, &bundle.trust_domain, "setting")?;
        Ok(writer.put_bundle((**bundle).clone()))
    };
    Outcome::Bundles(bundles.iter().map(set_one).collect())
}

pub(super) fn delete(writer: &mut Writer<'_>, trust_domains: &[TrustDomain], mode: DeleteMode) -> Outcome {
    Outcome::Deleted(trust_domains.iter().map(|trust_domain| delete_one(writer, trust_domain, mode)).collect())
}

fn delete_one(writer: &mut Writer<'_>, trust_domain: &TrustDomain, mode: DeleteMode) -> Result<(), Rejection> {
    if writer.trust_domain()? == *trust_domain {
        return Err(Rejection::invalid("removing the bundle for the server trust domain is not allowed"));
    }
    if writer.state().bundle(trust_domain).is_none() {
        return Err(Rejection::not_found("bundle not found"));
    }
    let linked = writer.state().entries.federating_with(trust_domain);
    let (linked_total, linked) = (linked.len(), linked.iter().copied().take(CASCADE_ENTRIES_MAX).collect::<Vec<u64>>());
    match mode {
        DeleteMode::Restrict if linked_total > 0 => {
            return Err(Rejection::precondition(format!(
                "failed to delete federated bundle: datastore-sql: cannot delete bundle; federated with \
                 {linked_total} registration entries"
            )));
        }
        DeleteMode::Restrict => {}
        DeleteMode::Delete => linked.iter().for_each(|number| writer.remove_entry(*number)),
        DeleteMode::Dissociate => linked.iter().for_each(|number| dissociate(writer, *number, trust_domain)),
    }
    if linked.len() < linked_total {
        return Err(Rejection::new(
            Code::Aborted,
            "failed to delete federated bundle: registration entries remain: repeat the request",
        ));
    }
    writer.remove_bundle(trust_domain);
    Ok(())
}

/// The revision stays as it is (SPIRE behaviour).
fn dissociate(writer: &mut Writer<'_>, number: u64, trust_domain: &TrustDomain) {
    if let Some(entry) = writer.state().entries.get(number) {
        let mut entry = (**entry).clone();
        entry.federates_with.retain(|linked| linked != trust_domain);
        writer.replace_entry(entry);
    }
}

fn refuse_own(writer: &Writer<'_>, trust_domain: &TrustDomain, doing: &str) -> Result<(), Rejection> {
    if writer.trust_domain()? != *trust_domain {
        return Ok(());
    }
    let message = format!("{doing} a federated bundle for the server's own trust domain is not allowed");
    Err(Rejection::invalid(message))
}

fn merged(stored: &Bundle, wanted: &Bundle, mask: BundleMask) -> Bundle {
    let mut bundle = stored.clone();
    if mask.x509_authorities {
        bundle.x509_authorities = wanted.x509_authorities.clone();
    }
    if mask.jwt_authorities {
        bundle.jwt_authorities = wanted.jwt_authorities.clone();
    }
    if mask.refresh_hint {
        bundle.refresh_hint = wanted.refresh_hint;
    }
    if mask.sequence {
        bundle.sequence = wanted.sequence;
    }
    bundle
}
