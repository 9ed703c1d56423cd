//! Authorities that the bundle has and no slot has any more: trusted until they expire, and no command reaches them. By
//! schedule one leaves its slot when it expires; one that was replaced by hand may leave it earlier.

use std::collections::HashSet;

use steeple_api::steeple::server::AuthorityStatusResponse;
use steeple_api::types::Bundle;
use steeple_ca::certificate;
use steeple_ca::rotation::Slot;
use steeple_core::{AuthorityId, AuthorityKind, Timestamp};

use super::turn::of_kind;

/// Below an upstream authority the bundle is shared with other servers, whose authorities cannot be told from these.
pub(super) fn out_of_reach(
    kind: AuthorityKind,
    status: &AuthorityStatusResponse,
    bundle: &Bundle,
    wall: Timestamp,
) -> Vec<Slot> {
    if of_kind(status, AuthorityKind::X509).any(|authority| !authority.upstream_authority_id.is_empty()) {
        return Vec::new();
    }
    let in_slots: HashSet<&str> = of_kind(status, kind).map(|authority| authority.authority_id.as_str()).collect();
    let published = match kind {
        AuthorityKind::X509 => roots(bundle),
        AuthorityKind::Jwt => keys(bundle),
        AuthorityKind::Wit => Vec::new(),
    };
    published.into_iter().filter(|slot| wall < slot.not_after && !in_slots.contains(slot.id.as_str())).collect()
}

fn roots(bundle: &Bundle) -> Vec<Slot> {
    let roots = bundle.x509_authorities.iter().filter_map(|root| {
        let facts = certificate::facts(&root.asn1)?;
        let id =
            facts.subject_key_id.map_or_else(|| format!("{} (serial {})", facts.subject, facts.serial), hex::encode);
        Some(slot(id, facts.not_after, root.tainted))
    });
    roots.collect()
}

/// A key without an end is one that somebody appended; it is trusted all the same.
fn keys(bundle: &Bundle) -> Vec<Slot> {
    let keys = bundle.jwt_authorities.iter().map(|key| {
        let not_after = if key.expires_at == 0 { i64::MAX } else { key.expires_at };
        slot(key.key_id.clone(), Timestamp::from_secs(not_after), key.tainted)
    });
    keys.collect()
}

fn slot(id: AuthorityId, not_after: Timestamp, tainted: bool) -> Slot {
    Slot { id, not_after, published: true, tainted }
}

#[cfg(test)]
mod tests {
    use steeple_api::steeple::server::Authority;
    use steeple_api::types::JwtKey;

    use super::*;

    #[test]
    fn what_is_in_no_slot_and_has_not_expired_is_out_of_reach() {
        let key = |id: &str, expires_at| JwtKey { key_id: id.to_owned(), expires_at, ..JwtKey::default() };
        let jwt_authorities = vec![key("active", 90), key("expired", 10), key("lost", 80), key("endless", 0)];
        let bundle = Bundle { jwt_authorities, ..Bundle::default() };
        let active = Authority { kind: "jwt".into(), authority_id: "active".into(), ..Authority::default() };
        let mut status = AuthorityStatusResponse { authorities: vec![active], ..Default::default() };
        let at = |status: &AuthorityStatusResponse| -> Vec<AuthorityId> {
            let found = out_of_reach(AuthorityKind::Jwt, status, &bundle, Timestamp::from_secs(50));
            found.into_iter().map(|slot| slot.id).collect()
        };
        assert_eq!(at(&status), ["lost", "endless"]);
        let upstream_authority_id = "above".to_owned();
        status.authorities.push(Authority { kind: "x509".into(), upstream_authority_id, ..Authority::default() });
        assert!(at(&status).is_empty(), "the bundle has keys of other servers");
    }
}
