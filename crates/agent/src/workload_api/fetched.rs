//! SPIRE's lines for SVIDs that a workload fetched.

use steeple_core::{SpiffeId, Timestamp};

use super::encode::shown;
use crate::cache::WorkloadView;

pub fn x509_svids(view: &WorkloadView, now: Timestamp) {
    let identities = shown(view);
    let count = identities.len();
    for identity in identities {
        let ttl = identity.svid.remaining(now).as_secs_f64();
        let spiffe_id = &identity.svid.spiffe_id;
        tracing::debug!(registered = true, count, %spiffe_id, ttl, "Fetched X.509 SVID");
    }
}

pub fn jwt_svid(spiffe_id: &SpiffeId, expires_at: Timestamp, now: Timestamp) {
    let ttl = expires_at.since(now).as_secs_f64();
    tracing::debug!(registered = true, %spiffe_id, ttl, "Fetched JWT SVID");
}
