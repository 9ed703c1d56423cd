//! What one call may take, and its wait for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use steeple_core::{Reservation, Shortage, rpc_code_name};
use steeple_telemetry::metric::CallTimer;
use steeple_transport::serve::Deadline;
use tokio::time::sleep_until;
use tonic::{Code, Status};

use super::limiter::{Key, Limiter, give_back, metric};
use super::table::Limit;

/// Made for each call when it is authorized. Cheap to clone.
#[derive(Clone, Default)]
pub struct Allowance(Option<Arc<Share>>);

pub(super) struct Share {
    pub(super) limiter: Arc<Limiter>,
    pub(super) key: Key,
    pub(super) limit: &'static Limit,
    pub(super) deadline: Option<Deadline>,
}

/// A call that waits for its tokens. Dropped before its time, because the caller went away, it gives them back.
struct Turn<'a> {
    share: &'a Share,
    reservation: Option<Reservation>,
    timer: Option<CallTimer>,
}

impl Allowance {
    pub(super) fn new(share: Option<Share>) -> Self {
        Self(share.map(Arc::new))
    }

    /// Waits until `count` tokens are there, unless the caller's deadline comes first.
    pub async fn take(&self, count: usize) -> Result<(), Status> {
        match &self.0 {
            Some(share) => share.take(count).await,
            None => Ok(()),
        }
    }
}

impl Share {
    async fn take(&self, count: usize) -> Result<(), Status> {
        let timer = CallTimer::start(metric(self.limit));
        match self.reserve(count) {
            Ok(reservation) => {
                let mut turn = Turn { share: self, reservation: Some(reservation), timer: Some(timer) };
                sleep_until(reservation.ready_at.into()).await;
                turn.reservation = None;
                turn.done(Code::Ok);
                Ok(())
            }
            Err(shortage) => {
                timer.done(rpc_code_name(Code::ResourceExhausted as i32));
                Err(self.refusal(count, shortage))
            }
        }
    }

    fn reserve(&self, count: usize) -> Result<Reservation, Shortage> {
        let now = tokio::time::Instant::now().into_std();
        let wait_max = self.deadline.map_or(WAIT_MAX, |deadline| deadline.remaining().min(WAIT_MAX));
        let mut buckets = self.limiter.lock();
        buckets.of(&self.key, now).reserve(u32::try_from(count).unwrap_or(u32::MAX), now, wait_max)
    }

    /// Go's words for the wait.
    fn refusal(&self, count: usize, shortage: Shortage) -> Status {
        let why = match shortage {
            Shortage::ExceedsBurst { burst } => format!("rate ({count}) exceeds burst size ({burst})"),
            Shortage::NotBefore { .. } => format!("rate: Wait(n={count}) would exceed context deadline"),
        };
        Status::resource_exhausted(format!("{}: {why}", self.limit.refusal))
    }
}

impl Turn<'_> {
    fn done(&mut self, code: Code) {
        if let Some(timer) = self.timer.take() {
            timer.done(rpc_code_name(code as i32));
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(unused) = self.reservation.take() {
            give_back(&self.share.limiter, &self.share.key, unused);
            self.done(Code::Cancelled);
        }
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.0.as_ref().map(|share| &share.key);
        f.debug_tuple("Allowance").field(&key).finish()
    }
}

/// A call without a deadline waits no longer than its connection lives: three minutes, and one more for open calls.
const WAIT_MAX: Duration = Duration::from_secs(240);

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use steeple_config::RateLimitSettings;
    use steeple_core::SpiffeId;
    use tokio::time::{Instant, timeout};

    use super::super::{RateLimits, limit};
    use super::*;
    use crate::authz::{Caller, Class, Transport};

    const ATTEST: &str = "/spire.api.server.agent.v1.Agent/AttestAgent";
    const PUBLISH: &str = "/spire.api.server.bundle.v1.Bundle/PublishJWTAuthority";
    const SIGN: &str = "/spire.api.server.svid.v1.SVID/BatchNewX509SVID";

    struct Site(RateLimits);

    impl Site {
        fn new() -> Self {
            Self(RateLimits::new(RateLimitSettings { attestation: true, signing: true }))
        }

        fn allowance(&self, method: &str, host: u8, within: Option<Duration>) -> Allowance {
            let remote_addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 1);
            let caller = Caller { transport: Transport::Tcp { remote_addr, identity: None }, id: None };
            let deadline = within.map(|within| Deadline(Instant::now() + within));
            self.0.allowance(limit(method).unwrap(), &caller, Class::Nobody, deadline)
        }

        async fn take(&self, method: &str, host: u8, within_ms: u64, count: usize) -> Result<(), (Code, String)> {
            let allowance = self.allowance(method, host, Some(Duration::from_millis(within_ms)));
            allowance.take(count).await.map_err(|status| (status.code(), status.message().to_owned()))
        }
    }

    fn refused(text: &str) -> Result<(), (Code, String)> {
        Err((Code::ResourceExhausted, text.to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_come_before_the_deadline_is_refused_at_once() {
        let site = Site::new();
        assert_eq!(site.take(ATTEST, 1, 100, 1).await, Ok(()));
        let text = "rejecting request due to attest agent rate limiting: rate: Wait(n=1) would exceed context deadline";
        assert_eq!(site.take(ATTEST, 1, 100, 1).await, refused(text));
        assert_eq!(site.take(ATTEST, 2, 100, 1).await, Ok(()), "another address");
        assert_eq!(site.take(SIGN, 1, 100, 500).await, Ok(()), "another kind");
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_the_burst_is_never_granted() {
        let site = Site::new();
        let text = "rejecting request due to certificate signing rate limiting: rate (501) exceeds burst size (500)";
        assert_eq!(site.take(SIGN, 1, 10_000, 501).await, refused(text));
        assert_eq!(site.take(SIGN, 1, 0, 500).await, Ok(()), "the refusal cost nothing");
    }

    /// SPIRE's `PushKeyLimitPerIP`, which has no switch.
    #[tokio::test(start_paused = true)]
    async fn a_server_below_publishes_at_most_500_keys_a_second() {
        let limits = RateLimits::new(RateLimitSettings { attestation: false, signing: false });
        let publish = async |server: &str, keys: usize| {
            let remote_addr = SocketAddr::from(([10, 0, 0, 1], 1));
            let id = SpiffeId::parse(&format!("spiffe://td/{server}")).unwrap();
            let caller = Caller { transport: Transport::Tcp { remote_addr, identity: None }, id: Some(id) };
            let deadline = Some(Deadline(Instant::now()));
            let allowance = limits.allowance(limit(PUBLISH).unwrap(), &caller, Class::Downstream, deadline);
            allowance.take(keys).await.map_err(|status| (status.code(), status.message().to_owned()))
        };
        assert_eq!(publish("below", 500).await, Ok(()));
        let text =
            "rejecting request due to key publishing rate limiting: rate: Wait(n=1) would exceed context deadline";
        assert_eq!(publish("below", 1).await, refused(text));
        assert_eq!(publish("beside", 1).await, Ok(()), "another server has a share of its own");
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(publish("below", 1).await, Ok(()), "one more every two milliseconds");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_for_its_turn() {
        let site = Site::new();
        let begin = Instant::now();
        site.allowance(SIGN, 1, None).take(500).await.unwrap();
        site.allowance(SIGN, 1, None).take(50).await.unwrap();
        let waited = begin.elapsed().as_millis();
        assert!((100..110).contains(&waited), "{waited} ms for 50 of 500 a second");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_away_gives_its_turn_back() {
        let site = Site::new();
        site.allowance(SIGN, 1, None).take(500).await.unwrap();
        let waiting = site.allowance(SIGN, 1, None);
        timeout(Duration::from_millis(1), waiting.take(400)).await.expect_err("800 ms");
        // Its 800 ms are not waited for by the next one.
        assert_eq!(site.take(SIGN, 1, 400, 100).await, Ok(()));
    }
}
