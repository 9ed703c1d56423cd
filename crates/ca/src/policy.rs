//! What the operator decided about authorities and lifetimes, and the two thresholds that SPIRE's life cycle hangs on.

use std::fmt;
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

/// A configured lifetime that an authority near its end could not grant in full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnsafeTtl {
    /// The configuration key.
    pub setting: &'static str,
    pub configured: Duration,
    pub ca_ttl: Duration,
    /// The longest safe value under this `ca_ttl`.
    pub ttl_max: Duration,
    /// The shortest `ca_ttl` under which the configured value is safe; none when there is no such.
    pub ca_ttl_min: Option<Duration>,
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
    /// The longest lifetime that is granted in full at any moment: `min(ca_ttl / 6, 7 days)`.
    pub fn svid_ttl_max(&self) -> Duration {
        ACTIVATE.of(self.ca_ttl)
    }

    /// What key an authority of `kind` is made with.
    pub fn key_type(&self, kind: AuthorityKind) -> KeyType {
        match kind {
            AuthorityKind::X509 => self.ca_key_type,
            AuthorityKind::Jwt => self.jwt_key_type,
            AuthorityKind::Wit => self.wit_key_type,
        }
    }

    /// Refuses lifetimes that would be cut short near the end of every authority's life (SPIRE only warns, and the
    /// warning is overlooked until SVIDs expire early).
    pub fn check_ttls(&self) -> Result<(), UnsafeTtl> {
        let settings = [
            ("default_x509_svid_ttl", self.x509_svid_ttl),
            ("default_jwt_svid_ttl", self.jwt_svid_ttl),
            ("agent_ttl", self.agent_ttl),
        ];
        match settings.into_iter().find(|(_, ttl)| *ttl > self.svid_ttl_max()) {
            None => Ok(()),
            Some((setting, configured)) => Err(UnsafeTtl {
                setting,
                configured,
                ca_ttl: self.ca_ttl,
                ttl_max: self.svid_ttl_max(),
                ca_ttl_min: (configured <= ACTIVATE.most).then(|| configured * ACTIVATE.lifetime_divisor),
            }),
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

impl fmt::Display for UnsafeTtl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, configured, ca_ttl, ttl_max, ca_ttl_min } = self;
        write!(
            f,
            "{setting} = \"{}\" is longer than a CA with ca_ttl = \"{}\" can always grant: set it to at most \"{}\"",
            Hours(*configured),
            Hours(*ca_ttl),
            Hours(*ttl_max)
        )?;
        match ca_ttl_min {
            Some(least) => write!(f, ", or ca_ttl to at least \"{}\"", Hours(*least)),
            None => Ok(()),
        }
    }
}

/// Zero for an authority whose clock was wrong when it was made.
pub(crate) fn lifetime(authority: &Authority) -> Duration {
    authority.not_after.since(authority.issued_at)
}

/// A duration in the notation of the configuration file, such as `1h30m`.
struct Hours(Duration);

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let parts = [(secs / 3600, "h"), (secs / 60 % 60, "m"), (secs % 60, "s")];
        if secs == 0 {
            return f.write_str("0s");
        }
        parts.into_iter().filter(|(count, _)| *count > 0).try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

const DAY_SECS: u64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spires_defaults_are_safe() {
        assert_eq!(Policy::default().check_ttls(), Ok(()));
        assert_eq!(Policy::default().svid_ttl_max(), Duration::from_secs(4 * 3600));
    }

    #[test]
    fn an_unsafe_ratio_is_refused_with_both_ways_out() {
        let policy = Policy { x509_svid_ttl: Duration::from_secs(5 * 3600 + 60), ..Policy::default() };
        let refusal = policy.check_ttls().unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "default_x509_svid_ttl = \"5h1m\" is longer than a CA with ca_ttl = \"24h\" can always grant: \
             set it to at most \"4h\", or ca_ttl to at least \"30h6m\""
        );
        let fixed = Policy { ca_ttl: refusal.ca_ttl_min.unwrap(), ..policy };
        assert_eq!(fixed.check_ttls(), Ok(()));
    }

    #[test]
    fn beyond_seven_days_no_ca_ttl_helps() {
        let year = Duration::from_secs(365 * DAY_SECS);
        let policy = Policy { ca_ttl: year, agent_ttl: Duration::from_secs(8 * DAY_SECS), ..Policy::default() };
        let refusal = policy.check_ttls().unwrap_err();
        assert_eq!((refusal.setting, refusal.ca_ttl_min), ("agent_ttl", None));
        assert_eq!(refusal.ttl_max, ACTIVATE.most);
    }
}
