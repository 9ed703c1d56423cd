//! Signing authorities move through two slots per kind, as SPIRE's do: active, and next (prepared or old).

use steeple_core::{Authority, AuthorityKind, AuthorityStatus, Bundle, JwtAuthority, SealedKey};

use super::bundle;
use super::writer::Writer;
use crate::codec::Slot;
use crate::{Code, Outcome, Rejection, State};

/// Fills the next slot and publishes in the same step, so that no authority can be activated unpublished. What was
/// published for a replaced authority stays in the bundle until pruned (SPIRE behaviour).
pub(super) fn prepare(
    writer: &mut Writer<'_>,
    authority: &Authority,
    upstream_roots: &[Vec<u8>],
) -> Result<Outcome, Rejection> {
    let set = writer.state().authority_set(authority.kind);
    if authority.id.is_empty() {
        return Err(Rejection::invalid(NO_ID));
    }
    if [&set.active, &set.next].into_iter().flatten().any(|known| known.id == authority.id) {
        return Err(Rejection::new(Code::AlreadyExists, "an authority with this ID exists"));
    }
    check_term(writer.state(), &authority.key)?;
    match authority.kind {
        AuthorityKind::X509 if upstream_roots.is_empty() => {
            bundle::publish(writer, std::slice::from_ref(&authority.certificate), &[])?
        }
        AuthorityKind::X509 => bundle::publish(writer, upstream_roots, &[])?,
        AuthorityKind::Jwt => bundle::publish(writer, &[], &[public_half(authority)])?,
        AuthorityKind::Wit => bundle::publish_wit(writer, &public_half(authority))?,
    };
    let authority = Authority { status: AuthorityStatus::Prepared, ..authority.clone() };
    let outcome = answer(&authority);
    writer.set_slot(authority.kind, Slot::Next, Some(authority));
    Ok(outcome)
}

pub(super) fn activate(writer: &mut Writer<'_>, kind: AuthorityKind, id: &str) -> Result<Outcome, Rejection> {
    let next = next_named(writer, kind, id)?;
    if next.status != AuthorityStatus::Prepared {
        return Err(Rejection::internal(unsupported("only Prepared authorities can be activated", next.status)));
    }
    let previous = writer.state().authority_set(kind).active.clone().map(|active| Authority {
        status: AuthorityStatus::Old,
        // It never signs again, so nobody needs its key.
        key: SealedKey { keyring_term: 0, ciphertext: Vec::new() },
        ..active
    });
    let active = Authority { status: AuthorityStatus::Active, ..next };
    let outcome = answer(&active);
    writer.set_slot(kind, Slot::Active, Some(active));
    writer.set_slot(kind, Slot::Next, previous);
    Ok(outcome)
}

pub(super) fn taint(writer: &mut Writer<'_>, kind: AuthorityKind, id: &str) -> Result<Outcome, Rejection> {
    let set = writer.state().authority_set(kind);
    if set.active.as_ref().is_some_and(|active| active.id == id) {
        return Err(Rejection::invalid("unable to taint current local authority"));
    }
    let old = next_named(writer, kind, id)?;
    if old.status != AuthorityStatus::Old {
        return Err(Rejection::invalid(unsupported("only Old local authorities can be tainted", old.status)));
    }
    if !old.upstream_authority_id.is_empty() {
        return Err(Rejection::precondition("local authority can't be tainted if there is an upstream authority"));
    }
    change_own(writer, |bundle| taint_in(bundle, &old))?;
    Ok(answer(&old))
}

pub(super) fn revoke(writer: &mut Writer<'_>, kind: AuthorityKind, id: &str) -> Result<Outcome, Rejection> {
    let invalid = |reason: &str| Rejection::invalid(format!("invalid authority ID: {reason}"));
    let set = writer.state().authority_set(kind);
    if id.is_empty() {
        return Err(invalid(NO_ID));
    }
    if set.active.as_ref().is_some_and(|active| active.id == id) {
        return Err(invalid("unable to use current authority"));
    }
    let next = set.next.clone().filter(|next| next.id == id);
    let old = next.clone().filter(|next| next.status == AuthorityStatus::Old);
    match kind {
        AuthorityKind::X509 => {
            let old = old.ok_or_else(|| invalid("only Old local authority can be revoked"))?;
            change_own(writer, |bundle| revoke_x509(bundle, &old))?;
            Ok(answer(&old))
        }
        AuthorityKind::Jwt | AuthorityKind::Wit => {
            if next.is_some() && old.is_none() {
                return Err(invalid("unable to use a prepared key"));
            }
            let published = writer.state().own_bundle().and_then(|bundle| bundle.key(kind, id).cloned());
            if old.is_none() && published.is_none() {
                return Err(invalid(&format!("no {} authority found with provided authority ID", kind.profile())));
            }
            change_own(writer, |bundle| match kind {
                AuthorityKind::Wit => revoke_key(&mut bundle.wit_authorities, kind, id),
                _ => revoke_key(&mut bundle.jwt_authorities, kind, id),
            })?;
            let expires_at = published.map_or(0, |published| published.expires_at);
            let not_after = old.map_or(steeple_core::Timestamp::from_secs(expires_at), |old| old.not_after);
            Ok(Outcome::Authority { id: id.to_owned(), not_after })
        }
    }
}

/// Compare and set, so that a key which took another one's place meanwhile stays.
pub(super) fn reseal(
    writer: &mut Writer<'_>,
    kind: AuthorityKind,
    id: &str,
    key: &SealedKey,
    expected_term: u64,
) -> Result<Outcome, Rejection> {
    let set = writer.state().authority_set(kind);
    let named = |authority: &&Authority| authority.id == id && !authority.key.ciphertext.is_empty();
    let (slot, stored) = match (set.active.as_ref().filter(named), set.next.as_ref().filter(named)) {
        (Some(active), _) => (Slot::Active, active.clone()),
        (None, Some(next)) => (Slot::Next, next.clone()),
        (None, None) => return Err(Rejection::not_found("no authority with this ID has a private key")),
    };
    if stored.key.keyring_term != expected_term || key.keyring_term <= expected_term {
        let message = format!("the key is sealed in term {}, expected {expected_term}", stored.key.keyring_term);
        return Err(Rejection::new(Code::Aborted, message));
    }
    let outcome = answer(&stored);
    writer.set_slot(kind, slot, Some(Authority { key: key.clone(), ..stored }));
    Ok(outcome)
}

/// Refuses a key that is sealed under an older data key than others are: that one may be gone before it is ever opened.
pub(super) fn check_term(state: &State, key: &SealedKey) -> Result<(), Rejection> {
    if newest_term(state) > key.keyring_term {
        return Err(Rejection::new(Code::Aborted, "the keyring was rotated meanwhile: prepare it again"));
    }
    Ok(())
}

/// Under which data key the latest of the private keys is sealed; 0 without any.
fn newest_term(state: &State) -> u64 {
    let sets = AuthorityKind::ALL.map(|kind| state.authority_set(kind));
    let authorities = sets.into_iter().flat_map(|set| [&set.active, &set.next]).flatten();
    let authorities = authorities.map(|authority| authority.key.keyring_term);
    authorities.chain(state.web_keys().map(|(_, key)| key.keyring_term)).max().unwrap_or(0)
}

/// The bundle keeps what was published until it is pruned or revoked.
pub(super) fn forget(writer: &mut Writer<'_>, kind: AuthorityKind, id: &str) -> Result<Outcome, Rejection> {
    let old = next_named(writer, kind, id)?;
    if old.status != AuthorityStatus::Old {
        return Err(Rejection::precondition(unsupported("only Old local authorities can be forgotten", old.status)));
    }
    writer.set_slot(kind, Slot::Next, None);
    Ok(answer(&old))
}

fn next_named(writer: &Writer<'_>, kind: AuthorityKind, id: &str) -> Result<Authority, Rejection> {
    if id.is_empty() {
        return Err(Rejection::invalid(NO_ID));
    }
    let next = writer.state().authority_set(kind).next.clone();
    next.filter(|next| next.id == id).ok_or_else(|| Rejection::invalid("unexpected authority ID"))
}

/// Changes the own bundle and raises its sequence.
pub(super) fn change_own(
    writer: &mut Writer<'_>,
    change: impl FnOnce(&mut Bundle) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let stored = writer.state().own_bundle().cloned();
    let stored = stored.ok_or_else(|| Rejection::internal("bundle not found"))?;
    let mut bundle = (*stored).clone();
    change(&mut bundle)?;
    bundle::write_own(writer, Some(stored), bundle);
    Ok(())
}

fn taint_in(bundle: &mut Bundle, authority: &Authority) -> Result<(), Rejection> {
    match authority.kind {
        AuthorityKind::X509 => {
            let failed = |reason| Rejection::internal(format!("failed to taint X.509 authority: {reason}"));
            let root = bundle.x509_authorities.iter_mut().find(|root| root.der == authority.certificate);
            let root = root.ok_or_else(|| failed(TAINT_ROOT_MISSING))?;
            if std::mem::replace(&mut root.tainted, true) { Err(failed("root CA is already tainted")) } else { Ok(()) }
        }
        kind @ AuthorityKind::Jwt => taint_key(&mut bundle.jwt_authorities, kind, &authority.id),
        kind @ AuthorityKind::Wit => taint_key(&mut bundle.wit_authorities, kind, &authority.id),
    }
}

fn taint_key(keys: &mut [JwtAuthority], kind: AuthorityKind, key_id: &str) -> Result<(), Rejection> {
    let name = kind.profile();
    let failed = |reason: &str| Rejection::internal(format!("failed to taint {name} authority: {reason}"));
    let key = keys.iter_mut().find(|key| key.key_id == key_id);
    let key = key.ok_or_else(|| failed(&key_missing(kind)))?;
    if std::mem::replace(&mut key.tainted, true) { Err(failed("key is already tainted")) } else { Ok(()) }
}

fn revoke_x509(bundle: &mut Bundle, authority: &Authority) -> Result<(), Rejection> {
    let failed = |reason| Rejection::internal(format!("failed to revoke X.509 authority: {reason}"));
    let at = bundle.x509_authorities.iter().position(|root| root.der == authority.certificate);
    let at = at.ok_or_else(|| failed(ROOT_MISSING))?;
    if !bundle.x509_authorities[at].tainted {
        return Err(failed("it is not possible to revoke an untainted root CA"));
    }
    bundle.x509_authorities.remove(at);
    Ok(())
}

fn revoke_key(keys: &mut Vec<JwtAuthority>, kind: AuthorityKind, key_id: &str) -> Result<(), Rejection> {
    let name = kind.profile();
    let failed = |reason: &str| Rejection::internal(format!("failed to revoke {name} authority: {reason}"));
    let at = keys.iter().position(|key| key.key_id == key_id);
    let at = at.ok_or_else(|| failed(&key_missing(kind)))?;
    if !keys[at].tainted {
        return Err(failed("it is not possible to revoke an untainted key"));
    }
    keys.remove(at);
    Ok(())
}

fn public_half(authority: &Authority) -> JwtAuthority {
    JwtAuthority {
        public_key: authority.public_key.clone(),
        key_id: authority.id.clone(),
        expires_at: authority.not_after.as_secs(),
        tainted: false,
    }
}

fn answer(authority: &Authority) -> Outcome {
    Outcome::Authority { id: authority.id.clone(), not_after: authority.not_after }
}

fn unsupported(rule: &str, status: AuthorityStatus) -> String {
    let name = match status {
        AuthorityStatus::Prepared => "PREPARED",
        AuthorityStatus::Active => "ACTIVE",
        AuthorityStatus::Old => "OLD",
    };
    format!("{rule}: unsupported local authority status: {name}")
}

fn key_missing(kind: AuthorityKind) -> String {
    format!("no {} Key found with provided key ID", kind.profile())
}

const NO_ID: &str = "no authority ID provided";
/// SPIRE's words, which differ from those of a revocation.
pub(super) const TAINT_ROOT_MISSING: &str = "no ca found with provided subject key ID";
pub(super) const ROOT_MISSING: &str = "no root CA found with provided subject key ID";
