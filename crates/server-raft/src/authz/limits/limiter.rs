//! The limits of one server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use steeple_config::RateLimitSettings;
use steeple_core::{Reservation, SpiffeId};
use steeple_telemetry::metric::{CallTimer, rpc_name};
use steeple_transport::serve::Deadline;

use super::allowance::{Allowance, Share};
use super::buckets::Buckets;
use super::table::{LIMITS, Limit, LimitKind};
use crate::authz::{Caller, Class, Transport};

/// Whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Address(IpAddr),
    Id(SpiffeId),
}

pub(super) type Limiter = Mutex<Buckets<Key>>;

/// One limiter for each kind that is switched on.
#[derive(Debug)]
pub struct RateLimits {
    limiters: BTreeMap<LimitKind, Arc<Limiter>>,
}

impl RateLimits {
    /// The limits of pushed keys and of status reports have no switch.
    pub fn new(settings: RateLimitSettings) -> Self {
        let is_on = |kind: &LimitKind| match kind {
            LimitKind::Attestation => settings.attestation,
            LimitKind::Certificate | LimitKind::JwtSvid | LimitKind::WitSvid => settings.signing,
            LimitKind::PushedKey | LimitKind::Status => true,
        };
        let now = tokio::time::Instant::now().into_std();
        let limiter = |kind: LimitKind| (kind, Arc::new(Mutex::new(Buckets::new(kind.per_second(), now))));
        let limits = Self { limiters: LimitKind::ALL.into_iter().filter(is_on).map(limiter).collect() };
        for limit in LIMITS.iter().filter(|limit| limits.limiters.contains_key(&limit.kind)) {
            CallTimer::declare_calls_of(&metric(limit), &format!("waits for the rate limit of {}", limit.method));
        }
        limits
    }

    /// What the caller of `limit`'s method, authorized as `class`, may take. The admin socket is not limited.
    pub fn allowance(
        &self,
        limit: &'static Limit,
        caller: &Caller,
        class: Class,
        deadline: Option<Deadline>,
    ) -> Allowance {
        let share = self.limiters.get(&limit.kind).zip(Key::of(caller, class));
        Allowance::new(share.map(|(limiter, key)| Share { limiter: Arc::clone(limiter), key, limit, deadline }))
    }
}

impl Key {
    /// A certificate that was not looked at beyond the handshake earns no share of its own.
    fn of(caller: &Caller, class: Class) -> Option<Self> {
        match (&caller.transport, class, &caller.id) {
            (Transport::Uds { .. }, ..) => None,
            (Transport::Tcp { .. }, Class::Agent | Class::Downstream, Some(id)) => Some(Self::Id(id.clone())),
            (Transport::Tcp { remote_addr, .. }, ..) => Some(Self::Address(remote_addr.ip().to_canonical())),
        }
    }
}

/// SPIRE's call counter of a limited RPC, such as `rateLimit.agent.v1.agent.attest_agent`.
pub(super) fn metric(limit: &Limit) -> String {
    let rpc = rpc_name(limit.method);
    format!("rateLimit.{}", rpc.strip_prefix("rpc.").unwrap_or(&rpc))
}

/// Puts back what `key` did not use.
pub(super) fn give_back(limiter: &Limiter, key: &Key, unused: Reservation) {
    // A forgotten bucket is a full one.
    if let Some(bucket) = limiter.lock().known(key) {
        bucket.give_back(unused);
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::limit;
    use super::*;

    #[test]
    fn metrics_are_spelled_as_in_spire() {
        let names = ["agent.v1.Agent/AttestAgent", "svid.v1.SVID/BatchNewX509SVID"]
            .map(|method| metric(limit(&format!("/spire.api.server.{method}")).unwrap()));
        assert_eq!(names, ["rateLimit.agent.v1.agent.attest_agent", "rateLimit.svid.v1.svid.batch_new_x509svid"]);
    }

    #[test]
    fn agents_have_a_share_of_their_own_and_strangers_share_an_address() {
        let id = SpiffeId::parse("spiffe://td/spire/agent/x").unwrap();
        let tcp = |address: &str, id: Option<&SpiffeId>| Caller {
            transport: Transport::Tcp { remote_addr: address.parse().unwrap(), identity: None },
            id: id.cloned(),
        };
        let address = Key::Address("10.0.0.1".parse().unwrap());
        assert_eq!(Key::of(&tcp("10.0.0.1:1", Some(&id)), Class::Agent), Some(Key::Id(id.clone())));
        assert_eq!(Key::of(&tcp("10.0.0.1:1", Some(&id)), Class::Nobody).as_ref(), Some(&address));
        assert_eq!(Key::of(&tcp("[::ffff:10.0.0.1]:2", None), Class::Nobody).as_ref(), Some(&address));
        let local = Caller { transport: Transport::Uds { uid: 0, gid: 0, pid: 1 }, id: None };
        assert_eq!(Key::of(&local, Class::Nobody), None);
    }

    #[test]
    fn the_switches_are_honoured() {
        let kinds = |attestation, signing| {
            let limits = RateLimits::new(RateLimitSettings { attestation, signing });
            limits.limiters.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(kinds(true, true), LimitKind::ALL);
        assert_eq!(kinds(true, false), [LimitKind::Attestation, LimitKind::PushedKey, LimitKind::Status]);
        assert!(!kinds(false, true).contains(&LimitKind::Attestation));
    }
}
