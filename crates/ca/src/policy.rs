//! What the operator decided about authorities and lifetimes, and the two thresholds that SPIRE's life cycle hangs on.

use std::time::Duration;

use steeple_core::{Authority, AuthorityKind, KeyType, Timestamp};

use crate::DistinguishedName;

/// A part of an authority's life that is left over at its end: `lifetime / divisor`, but never more than `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Margin {
    pub lifetime_divisor: u32,
    pub most: Duration,
}

/// A successor is prepared once less than half of the life, and less than 30 days, remain (SPIRE behaviour).
pub const PREPARE: Margin = Margin { lifetime_divisor: 2, most: Duration::from_secs(30 * DAY_SECS) };
/// The successor takes over once less than a sixth of the life, and less than 7 days, remain (SPIRE behaviour).
/// It is also the longest lifetime that an authority can always grant in full.
pub const ACTIVATE: Margin = Margin { lifetime_divisor: 6, most: Duration::from_secs(7 * DAY_SECS) };

// A successor must be published before it signs.
const _: () = assert!(PREPARE.lifetime_divisor < ACTIVATE.lifetime_divisor);
const _: () = assert!(PREPARE.most.as_secs() > ACTIVATE.most.as_secs());

/// The settings of the server's configuration that concern authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `ca_ttl`: the life of a CA certificate, of a JWT key and of a WIT key.
    pub ca_ttl: Duration,
    /// `ca_key_type`.
    pub ca_key_type: KeyType,
    /// `jwt_key_type`, which follows `ca_key_type` unless set.
    pub jwt_key_type: KeyType,
    /// `wit_key_type`, which follows `ca_key_type` unless set.
    pub wit_key_type: KeyType,
    /// `ca_subject`, without the serial number that each CA adds to it.
    pub ca_subject: DistinguishedName,
    /// `jwt_issuer`: the `iss` claim; none leaves the claim out.
    pub jwt_issuer: Option<String>,
    /// `default_x509_svid_ttl`.
    pub x509_svid_ttl: Duration,
    /// `default_jwt_svid_ttl`.
    pub jwt_svid_ttl: Duration,
    /// `agent_ttl`, which follows `default_x509_svid_ttl` unless set.
    pub agent_ttl: Duration,
    /// For entries without an X.509 TTL, which counts for WIT-SVIDs too (SPIRE has no setting for it).
    pub wit_svid_ttl: Duration,
    /// How long an activation that is due waits for acknowledgements of the published bundle. The wait also ends when
    /// half of [`ACTIVATE`]'s margin is used up, so that SVIDs keep a useful life.
    pub ack_wait_max: Duration,
}

impl Margin {
    pub fn of(self, lifetime: Duration) -> Duration {
        (lifetime / self.lifetime_divisor).min(self.most)
    }

    /// When the margin before the authority's expiry begins.
    pub fn start(self, authority: &Authority) -> Timestamp {
        authority.not_after.saturating_sub(self.of(lifetime(authority)))
    }
}

impl Policy {
    /// What key an authority of `kind` is made with.
    pub fn key_type(&self, kind: AuthorityKind) -> KeyType {
        match kind {
            AuthorityKind::X509 => self.ca_key_type,
            AuthorityKind::Jwt => self.jwt_key_type,
            AuthorityKind::Wit => self.wit_key_type,
        }
    }
}

impl Default for Policy {
    /// SPIRE's defaults.
    fn default() -> Self {
        Self {
            ca_ttl: Duration::from_secs(DAY_SECS),
            ca_key_type: KeyType::EcP256,
            jwt_key_type: KeyType::EcP256,
            wit_key_type: KeyType::EcP256,
            ca_subject: DistinguishedName::default_ca(),
            jwt_issuer: None,
            x509_svid_ttl: Duration::from_secs(3600),
            jwt_svid_ttl: Duration::from_secs(300),
            agent_ttl: Duration::from_secs(3600),
            wit_svid_ttl: Duration::from_secs(3600),
            ack_wait_max: Duration::from_secs(3600),
        }
    }
}

/// Zero for an authority whose clock was wrong when it was made.
pub(crate) fn lifetime(authority: &Authority) -> Duration {
    authority.not_after.since(authority.issued_at)
}

const DAY_SECS: u64 = 24 * 3600;
