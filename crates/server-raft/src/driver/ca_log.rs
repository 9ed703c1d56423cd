//! What the log says of signing authorities: SPIRE's lines, with SPIRE's fields.

use steeple_ca::lifecycle::Wait;
use steeple_core::{Authority, AuthorityId, AuthorityKind, Timestamp, TrustDomain};

/// SPIRE's name for what cares for the authorities.
const SUBSYSTEM: &str = "ca_manager";

/// Which of the two places an authority has. SPIRE numbers its places `A` and `B`; here they have no names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Current,
    Next,
}

impl Slot {
    fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Next => "next",
        }
    }
}

/// `authority` is in the log, and its public half in the bundle.
pub fn prepared(authority: &Authority, slot: Slot) {
    tracing::info!(
        subsystem_name = SUBSYSTEM,
        slot = slot.name(),
        issued_at = %authority.issued_at,
        expiration = %authority.not_after,
        self_signed = is_x509(authority).then_some(authority.upstream_authority_id.is_empty()),
        local_authority_id = authority.id,
        upstream_authority_id = upstream(authority),
        "{} prepared",
        noun(authority.kind)
    );
}

/// `authority` signs from `now` on.
pub fn activated(authority: &Authority, trust_domain: &TrustDomain, now: Timestamp) {
    tracing::info!(
        subsystem_name = SUBSYSTEM,
        slot = Slot::Current.name(),
        issued_at = %authority.issued_at,
        expiration = %authority.not_after,
        local_authority_id = authority.id,
        upstream_authority_id = upstream(authority),
        "{} activated",
        noun(authority.kind)
    );
    if is_x509(authority) {
        let ttl = authority.not_after.since(now).as_secs_f64();
        let trust_domain_id = trust_domain.id();
        tracing::debug!(subsystem_name = SUBSYSTEM, %trust_domain_id, ttl, "Successfully rotated X.509 CA");
    }
}

/// The prepared authority `id` would be due, and agents or replicas lack the bundle.
pub fn waits(kind: AuthorityKind, id: &AuthorityId, wait: &Wait) {
    tracing::info!(
        subsystem_name = SUBSYSTEM,
        local_authority_id = id,
        missing = wait.missing,
        until = %wait.until,
        "{} waits for acknowledgements of the bundle",
        noun(kind)
    );
}

/// `id` signs from now on, although `missing` agents and replicas may not know it.
pub fn missing(kind: AuthorityKind, id: &AuthorityId, missing: usize) {
    tracing::warn!(
        subsystem_name = SUBSYSTEM,
        local_authority_id = id,
        missing,
        "{} activated before all hold the bundle: the time for acknowledgements is over",
        noun(kind)
    );
}

/// Nothing that the authority signed is valid any more.
pub fn forgotten(kind: AuthorityKind, id: &AuthorityId) {
    tracing::info!(subsystem_name = SUBSYSTEM, local_authority_id = id, "{} forgotten", noun(kind));
}

/// The cluster version has no authorities of this kind yet.
pub fn held_back(kind: AuthorityKind) {
    tracing::warn!(
        subsystem_name = SUBSYSTEM,
        "no {} is made before the cluster version allows it: upgrade every replica, then run cluster finalize",
        noun(kind)
    );
}

/// The active X.509 authority stands below a root that was tainted above: another one takes over.
pub fn leaves_tainted() {
    tracing::info!(
        subsystem_name = SUBSYSTEM,
        "Current root CA is signed by a tainted upstream authority, preparing rotation"
    );
}

/// An operator had `id` `tainted` or `revoked`.
pub fn changed(kind: AuthorityKind, id: &AuthorityId, how: &str) {
    let noun = kind.profile();
    tracing::info!(subsystem_name = SUBSYSTEM, local_authority_id = id, "{noun} authority {how} successfully");
}

fn noun(kind: AuthorityKind) -> &'static str {
    match kind {
        AuthorityKind::X509 => "X509 CA",
        AuthorityKind::Jwt => "JWT key",
        AuthorityKind::Wit => "WIT key",
    }
}

fn is_x509(authority: &Authority) -> bool {
    authority.kind == AuthorityKind::X509
}

fn upstream(authority: &Authority) -> Option<&str> {
    Some(authority.upstream_authority_id.as_str()).filter(|id| !id.is_empty())
}
