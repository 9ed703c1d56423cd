//! `experimental.ratelimit`: how many calls a second each kind of workload may make.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use steeple_config::WorkloadApiRateLimits;
use steeple_core::{SelectorSet, TokenBucket};
use tonic::Status;

use crate::metrics::RATE_LIMIT_EXCEEDED;

/// The calls that can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitedCall {
    FetchJwtBundles,
    FetchJwtSvid,
    FetchSecrets,
    FetchX509Bundles,
    FetchX509Svid,
    StreamSecrets,
}

/// Counted when a call or stream begins, after its caller was attested. All processes with the same selectors share
/// their allowance (SPIRE behaviour).
pub struct CallerLimits {
    configured: WorkloadApiRateLimits,
    buckets: Cache<(LimitedCall, SelectorSet), Arc<Mutex<TokenBucket>>>,
}

impl CallerLimits {
    pub fn new(configured: WorkloadApiRateLimits) -> Self {
        // The bucket of a new caller must be kept also when there are many.
        let (lru, idle_max) = (EvictionPolicy::lru(), BUCKET_IDLE_MAX);
        let buckets = Cache::builder().max_capacity(BUCKETS_MAX).time_to_idle(idle_max).eviction_policy(lru).build();
        let limits = Self { configured, buckets };
        for call in LimitedCall::ALL {
            let limit = limits.per_second(call);
            if limit > 0 {
                tracing::info!(method = call.method(), limit, "Workload API/SDS rate limiting enabled");
            }
        }
        limits
    }

    /// `Unavailable` when the caller has used up its allowance.
    pub fn check(&self, call: LimitedCall, caller: &SelectorSet) -> Result<(), Status> {
        self.check_at(call, caller, Instant::now())
    }

    fn check_at(&self, call: LimitedCall, caller: &SelectorSet, now: Instant) -> Result<(), Status> {
        let limit = self.per_second(call);
        if limit == 0 {
            return Ok(());
        }
        let full = || Arc::new(Mutex::new(TokenBucket::full(limit, now)));
        let bucket = self.buckets.get_with((call, caller.clone()), full);
        if bucket.lock().reserve(1, now, Duration::ZERO).is_ok() {
            return Ok(());
        }
        counter!(RATE_LIMIT_EXCEEDED, "method" => call.method()).increment(1);
        Err(Status::unavailable(format!("rate limit exceeded for {}", call.method())))
    }

    fn per_second(&self, call: LimitedCall) -> u32 {
        match call {
            LimitedCall::FetchJwtBundles => self.configured.fetch_jwt_bundles,
            LimitedCall::FetchJwtSvid => self.configured.fetch_jwt_svid,
            LimitedCall::FetchSecrets => self.configured.fetch_secrets,
            LimitedCall::FetchX509Bundles => self.configured.fetch_x509_bundles,
            LimitedCall::FetchX509Svid => self.configured.fetch_x509_svid,
            LimitedCall::StreamSecrets => self.configured.stream_secrets,
        }
    }
}

impl LimitedCall {
    const ALL: [Self; 6] = [
        Self::FetchJwtBundles,
        Self::FetchJwtSvid,
        Self::FetchSecrets,
        Self::FetchX509Bundles,
        Self::FetchX509Svid,
        Self::StreamSecrets,
    ];

    /// The path that gRPC calls it by.
    fn method(self) -> &'static str {
        match self {
            Self::FetchJwtBundles => "/SpiffeWorkloadAPI/FetchJWTBundles",
            Self::FetchJwtSvid => "/SpiffeWorkloadAPI/FetchJWTSVID",
            Self::FetchSecrets => "/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets",
            Self::FetchX509Bundles => "/SpiffeWorkloadAPI/FetchX509Bundles",
            Self::FetchX509Svid => "/SpiffeWorkloadAPI/FetchX509SVID",
            Self::StreamSecrets => "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
        }
    }
}

/// Selector sets of callers at the same time; a node has a few hundred kinds of workloads.
const BUCKETS_MAX: u64 = 10_000;
/// A bucket is full again after a second; SPIRE keeps one for as long.
const BUCKET_IDLE_MAX: Duration = Duration::from_secs(2 * 60);

#[cfg(test)]
mod tests {
    use steeple_core::Selector;

    use super::*;

    fn caller(uid: &str) -> SelectorSet {
        [Selector::new("unix", format!("uid:{uid}")).unwrap()].into_iter().collect()
    }

    #[test]
    fn a_burst_of_a_second_then_one_at_a_time_for_each_caller() {
        let limits = CallerLimits::new(WorkloadApiRateLimits { fetch_x509_svid: 3, ..Default::default() });
        let begin = Instant::now();
        let granted =
            |call, uid, after_ms| limits.check_at(call, &caller(uid), begin + Duration::from_millis(after_ms)).is_ok();
        assert_eq!([0, 0, 0, 0].map(|at| granted(LimitedCall::FetchX509Svid, "1", at)), [true, true, true, false]);
        assert!(granted(LimitedCall::FetchX509Svid, "2", 0), "another kind of workload has its own");
        assert!(granted(LimitedCall::FetchJwtSvid, "1", 0), "no limit is configured");
        assert_eq!([400, 401].map(|at| granted(LimitedCall::FetchX509Svid, "1", at)), [true, false]);
        let refused = limits.check_at(LimitedCall::FetchX509Svid, &caller("1"), begin).unwrap_err();
        assert_eq!(refused.message(), "rate limit exceeded for /SpiffeWorkloadAPI/FetchX509SVID");
    }
}
