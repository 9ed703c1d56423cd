//! What to do about a server that none of the agent's roots vouches for: `rebootstrap_mode`.

use std::time::Duration;

use steeple_config::RebootstrapMode;
use steeple_core::Timestamp;

/// The rule, and since when the server has not been trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebootstrap {
    mode: RebootstrapMode,
    delay: Duration,
    /// Survives a restart, so that a supervisor that starts the agent again and again does not move it.
    untrusted_since: Option<Timestamp>,
}

/// What follows from an untrusted server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// The agent may not trust anybody else.
    Final,
    /// Perhaps a mistake or an attack: not for this long yet.
    Wait(Duration),
    /// Ask the configured source for a bundle, as at the first contact.
    Anew,
}

/// `rebootstrap_mode = "always"` with an attestation that works only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "rebootstrap_mode is \"always\", and this node's attestation cannot be repeated: use another NodeAttestor than \
     join_token, or rebootstrap_mode \"auto\" or \"never\""
)]
pub struct NotRepeatable;

impl Rebootstrap {
    pub fn new(mode: RebootstrapMode, delay: Duration) -> Self {
        Self { mode, delay, untrusted_since: None }
    }

    /// Goes on where the process before this one was.
    pub fn resume(&mut self, untrusted_since: Option<Timestamp>) {
        self.untrusted_since = untrusted_since;
    }

    pub fn untrusted_since(&self) -> Option<Timestamp> {
        self.untrusted_since
    }

    /// The server's chain leads to no root that the agent has.
    pub fn distrusted(&mut self, now: Timestamp) -> Distrust {
        let since = *self.untrusted_since.get_or_insert(now);
        let (delay, then) = match self.mode {
            RebootstrapMode::Never => (SERVER_REPLACES_SVID, Distrust::Final),
            RebootstrapMode::Auto | RebootstrapMode::Always => (self.delay, Distrust::Anew),
        };
        match since.saturating_add(delay).since(now) {
            Duration::ZERO => then,
            left => Distrust::Wait(left),
        }
    }

    /// A server has been trusted. Whether that is news.
    pub fn trusted(&mut self) -> bool {
        self.untrusted_since.take().is_some()
    }

    /// Bootstrapping anew needs an attestation that can be repeated. In mode `auto` there is none without it.
    pub fn check(&mut self, reattestable: bool) -> Result<(), NotRepeatable> {
        match self.mode {
            RebootstrapMode::Always if !reattestable => Err(NotRepeatable),
            RebootstrapMode::Auto if !reattestable => {
                tracing::warn!("rebootstrap_mode is \"auto\", but node attestation cannot be repeated: never");
                self.mode = RebootstrapMode::Never;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// How long the way to a trusted server is tried before the agent ends (SPIRE's bounds).
    pub fn patience(&self) -> Duration {
        if self.mode == RebootstrapMode::Never { PATIENCE } else { REBOOTSTRAP_PATIENCE }
    }
}

/// A pushed bundle may be here before a server has replaced an SVID whose root the bundle no longer has. SPIRE's agents
/// would hear of it seconds later.
const SERVER_REPLACES_SVID: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);
const REBOOTSTRAP_PATIENCE: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_secs(600);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn the_delay_counts_from_the_first_distrust_and_ends_with_trust() {
        let mut rule = Rebootstrap::new(RebootstrapMode::Auto, DELAY);
        assert_eq!(rule.distrusted(at(100)), Distrust::Wait(DELAY));
        assert_eq!(rule.distrusted(at(699)), Distrust::Wait(Duration::from_secs(1)));
        assert!(rule.trusted() && !rule.trusted());
        assert_eq!(rule.distrusted(at(700)), Distrust::Wait(DELAY));

        let mut restarted = Rebootstrap::new(RebootstrapMode::Always, DELAY);
        restarted.resume(rule.untrusted_since());
        assert_eq!(restarted.distrusted(at(1300)), Distrust::Anew);
        assert_eq!(restarted.distrusted(at(1301)), Distrust::Anew);
    }

    #[test]
    fn never_is_final_and_so_is_an_attestation_that_works_once() {
        let mut never = Rebootstrap::new(RebootstrapMode::Never, DELAY);
        assert_eq!(never.distrusted(at(0)), Distrust::Wait(SERVER_REPLACES_SVID));
        assert_eq!(never.distrusted(at(10)), Distrust::Final);
        assert!(never.trusted());
        assert_eq!(never.distrusted(at(20)), Distrust::Wait(SERVER_REPLACES_SVID));
        let mut auto = Rebootstrap::new(RebootstrapMode::Auto, Duration::ZERO);
        assert_eq!((auto.check(true), auto.distrusted(at(0))), (Ok(()), Distrust::Anew));
        assert_eq!((auto.check(false), auto.distrusted(at(10))), (Ok(()), Distrust::Final));
        let mut always = Rebootstrap::new(RebootstrapMode::Always, DELAY);
        assert_eq!((always.check(true), always.check(false)), (Ok(()), Err(NotRepeatable)));
    }
}
