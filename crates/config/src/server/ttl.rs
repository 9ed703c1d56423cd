//! Life times of what the server signs. Of combinations that cut them short a file that SPIRE would take is warned, as
//! SPIRE warns; a file with a `cluster` section is refused.

use std::time::Duration;

use crate::notice::Notice;
use crate::{ConfigError, GoDuration};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlSettings {
    /// CA certificate and JWT key.
    pub ca: Duration,
    pub x509_svid: Duration,
    pub jwt_svid: Duration,
    /// Agents' own SVIDs: `agent_ttl`, or `x509_svid` when that is not set.
    pub agent: Duration,
}

impl Default for TtlSettings {
    fn default() -> Self {
        Self { ca: CA, x509_svid: X509_SVID, jwt_svid: JWT_SVID, agent: X509_SVID }
    }
}

impl TtlSettings {
    /// SPIRE's warnings: a CA is replaced before its end, so an SVID near a rotation may live shorter than asked for.
    pub(crate) fn warnings(&self, agent_ttl_given: bool) -> Vec<Notice> {
        let named = self.named(agent_ttl_given).into_iter();
        named.filter_map(|(name, ttl)| self.warning(name, ttl)).map(Notice::warn).collect()
    }

    /// Of a cluster's file: an authority lasts long enough for agents to learn of the next one, and grants every SVID
    /// its whole life.
    ///
    /// # Errors
    /// [`ConfigError::Unsafe`] of the first that does not fit.
    pub(crate) fn check(&self, agent_ttl_given: bool) -> Result<(), ConfigError> {
        let refused = |key, value: Duration, safe| {
            Err(ConfigError::Unsafe { key, value: GoDuration::from(value).to_string(), safe })
        };
        if self.ca < CA_MIN {
            let safe = format!("use {} or more, or agents do not learn of the next authority in time", short(CA_MIN));
            return refused("ca_ttl", self.ca, safe);
        }
        let svid_max = svid_ttl_max(self.ca);
        match self.named(agent_ttl_given).into_iter().find(|(_, ttl)| *ttl > svid_max) {
            None => Ok(()),
            Some((key, ttl)) if ttl <= SVID_TTL_CAP => {
                let (svid_max, ca_min) = (short(svid_max), short(ca_ttl_min(ttl)));
                let safe = format!(
                    "use {svid_max} or less, or a ca_ttl of {ca_min} or more, or SVIDs are cut short before each \
                     rotation of the CA"
                );
                refused(key, ttl, safe)
            }
            Some((key, ttl)) => {
                let (cap, ca_min) = (short(SVID_TTL_CAP), short(ca_ttl_min(SVID_TTL_CAP)));
                refused(key, ttl, format!("use {cap} or less, with a ca_ttl of {ca_min} or more"))
            }
        }
    }

    fn named(&self, agent_ttl_given: bool) -> Vec<(&'static str, Duration)> {
        let mut named = vec![("default_x509_svid_ttl", self.x509_svid), ("default_jwt_svid_ttl", self.jwt_svid)];
        if agent_ttl_given {
            named.push(("agent_ttl", self.agent));
        }
        named
    }

    fn warning(&self, name: &str, ttl: Duration) -> Option<String> {
        let svid_max = svid_ttl_max(self.ca);
        if ttl <= svid_max {
            return None;
        }
        let (guaranteed, capped) = (short(svid_max), short(SVID_TTL_CAP));
        Some(if ttl < SVID_TTL_CAP {
            let ca_min = short(ca_ttl_min(ttl));
            format!(
                "{name} is too high for the configured ca_ttl value. SVIDs with shorter lifetimes may be issued. \
                 Please set {name} to {guaranteed} or less, or the ca_ttl to {ca_min} or more, to guarantee the full \
                 {name} lifetime when CA rotations are scheduled."
            )
        } else if self.ca < ca_ttl_min(SVID_TTL_CAP) {
            let ca_min = short(ca_ttl_min(SVID_TTL_CAP));
            format!(
                "{name} is too high and the ca_ttl is too low. SVIDs with shorter lifetimes may be issued. Please set \
                 {name} to {capped} or less, and the ca_ttl to {ca_min} or more, to guarantee the full {name} lifetime \
                 when CA rotations are scheduled."
            )
        } else {
            format!(
                "{name} is too high. SVIDs with shorter lifetimes may be issued. Please set {name} to {guaranteed} or \
                 less to guarantee the full {name} lifetime when CA rotations are scheduled."
            )
        })
    }
}

/// The longest life that a rotation under this CA life never cuts (SPIRE activates the next CA at a sixth of the life
/// before the end, at most seven days).
fn svid_ttl_max(ca: Duration) -> Duration {
    (ca / ACTIVATION_DIVISOR).min(SVID_TTL_CAP)
}

fn ca_ttl_min(svid: Duration) -> Duration {
    svid.saturating_mul(ACTIVATION_DIVISOR)
}

/// Go's notation in whole seconds, without zero minutes and seconds at the end.
fn short(duration: Duration) -> String {
    let text = GoDuration::from(Duration::from_secs(duration.as_secs())).to_string();
    let text = text.strip_suffix("0s").filter(|rest| rest.ends_with('m')).unwrap_or(&text);
    text.strip_suffix("0m").filter(|rest| rest.ends_with('h')).unwrap_or(text).to_owned()
}

pub(super) const CA: Duration = Duration::from_secs(24 * 3_600);
pub(super) const X509_SVID: Duration = Duration::from_secs(3_600);
pub(super) const JWT_SVID: Duration = Duration::from_secs(5 * 60);
const SVID_TTL_CAP: Duration = Duration::from_secs(7 * 24 * 3_600);
const ACTIVATION_DIVISOR: u32 = 6;
/// Twelve syncs of an agent.
const CA_MIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn warns_as_spire_does() {
        let ttl = TtlSettings { x509_svid: 5 * HOUR, ..TtlSettings::default() };
        let warnings = ttl.warnings(false);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].message.contains("set default_x509_svid_ttl to 4h or less, or the ca_ttl to 30h or more"));

        let ttl = TtlSettings { agent: 24 * 8 * HOUR, ..TtlSettings::default() };
        let warnings = ttl.warnings(true);
        assert!(warnings[0].message.contains("agent_ttl to 168h or less, and the ca_ttl to 1008h or more"));
        assert_eq!(TtlSettings::default().warnings(true), []);
    }

    #[test]
    fn a_cluster_is_told_what_is_safe() {
        let refused = |ttl: TtlSettings| ttl.check(true).unwrap_err().to_string();
        let of_5h = refused(TtlSettings { x509_svid: 5 * HOUR, ..TtlSettings::default() });
        let advice =
            "use 4h or less, or a ca_ttl of 30h or more, or SVIDs are cut short before each rotation of the CA";
        assert_eq!(of_5h, format!("default_x509_svid_ttl = 5h0m0s is not safe: {advice}"));
        let of_8_days = refused(TtlSettings { agent: 24 * 8 * HOUR, ..TtlSettings::default() });
        assert_eq!(of_8_days, "agent_ttl = 192h0m0s is not safe: use 168h or less, with a ca_ttl of 1008h or more");
        let of_59s = refused(TtlSettings { ca: CA_MIN - Duration::from_secs(1), ..TtlSettings::default() });
        assert_eq!(
            of_59s,
            "ca_ttl = 59s is not safe: use 1m or more, or agents do not learn of the next authority in time"
        );
        let at_the_edge = TtlSettings { x509_svid: 4 * HOUR, agent: 4 * HOUR, ..TtlSettings::default() };
        assert!(at_the_edge.check(true).is_ok());
        assert!(TtlSettings { agent: 5 * HOUR, ..at_the_edge }.check(false).is_ok(), "it is not the agent's own");
    }

    #[test]
    fn short_durations() {
        assert_eq!(short(4 * HOUR), "4h");
        assert_eq!(short(HOUR + Duration::from_secs(60)), "1h1m");
        assert_eq!(short(Duration::from_secs(10)), "10s");
        assert_eq!(short(Duration::from_secs(600)), "10m");
    }
}
