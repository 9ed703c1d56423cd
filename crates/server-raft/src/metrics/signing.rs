//! Signatures: asked for, made, sent to the leader, refused.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use steeple_api::steeple::peer as wire;
use tokio::time::Instant;

use super::{
    SIGN_JWT_SVID, SIGN_X509_CA_SVID, SIGN_X509_SVID, SIGNING_BATCH_ITEMS, SIGNING_FORWARD_SECS, SIGNING_QUEUE,
    SIGNING_REFUSED, SIGNING_SECS,
};
use crate::peer::SignError;

/// What this replica's signer was asked for, until it is released or refused.
#[must_use = "it is in the queue as long as it is there"]
pub struct SigningBatch {
    items: usize,
    started: Instant,
}

impl SigningBatch {
    pub fn begin(items: usize) -> Self {
        gauge!(SIGNING_QUEUE).increment(items as f64);
        histogram!(SIGNING_BATCH_ITEMS).record(items as f64);
        Self { items, started: Instant::now() }
    }

    /// Counts what was signed for `items`.
    pub fn released(self, items: &[wire::SignItem], results: &[wire::SignResult]) {
        histogram!(SIGNING_SECS).record(self.started.elapsed().as_secs_f64());
        signed(items, results);
    }

    /// Nothing is released; `reason` is one of [`REFUSALS`].
    pub fn refused(self, reason: &'static str) {
        signing_refused(self.items, reason);
    }
}

impl Drop for SigningBatch {
    fn drop(&mut self) {
        gauge!(SIGNING_QUEUE).decrement(self.items as f64);
    }
}

/// The leader was asked, and answered or did not.
pub fn signing_forwarded(took: Duration, is_ok: bool) {
    let status = if is_ok { "OK" } else { "Error" };
    histogram!(SIGNING_FORWARD_SECS, "status" => status).record(took.as_secs_f64());
}

/// This replica gives up to have `items` signed. What a signer refused it has counted.
pub fn signing_given_up(items: usize, error: &SignError) {
    match error {
        SignError::Fenced { .. } | SignError::Busy { .. } => {}
        SignError::NoLeader { .. } => signing_refused(items, "no_leader"),
        SignError::NotReady => signing_refused(items, "not_ready"),
        SignError::Sealed(_) => signing_refused(items, "sealed"),
    }
}

fn signing_refused(items: usize, reason: &'static str) {
    counter!(SIGNING_REFUSED, "reason" => reason).increment(items as u64);
}

fn signed(items: &[wire::SignItem], results: &[wire::SignResult]) {
    use wire::sign_item::Kind;
    let is_signed =
        |result: &wire::SignResult| !matches!(result.result, None | Some(wire::sign_result::Result::Failure(_)));
    let count = |of: fn(&Kind) -> bool| {
        let signed = items.iter().zip(results).filter(|(_, result)| is_signed(result));
        signed.filter(|(item, _)| item.kind.as_ref().is_some_and(of)).count()
    };
    let counts = [
        (SIGN_X509_SVID, count(|kind| matches!(kind, Kind::X509Svid(_)))),
        (SIGN_X509_CA_SVID, count(|kind| matches!(kind, Kind::DownstreamCa(_)))),
        (SIGN_JWT_SVID, count(|kind| matches!(kind, Kind::JwtSvid(_)))),
    ];
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        counter!(name).increment(count as u64);
    }
    let refused = results.iter().filter(|result| !is_signed(result)).count();
    if refused > 0 {
        signing_refused(refused, "request");
    }
}

/// Shows at 0 what has not happened yet.
pub(super) fn declare() {
    for name in [SIGN_X509_SVID, SIGN_X509_CA_SVID, SIGN_JWT_SVID] {
        counter!(name).increment(0);
    }
    gauge!(SIGNING_QUEUE).set(0.0);
    for name in [SIGNING_SECS, SIGNING_BATCH_ITEMS] {
        let _ = histogram!(name);
    }
    let _ = histogram!(SIGNING_FORWARD_SECS, "status" => "OK");
    for reason in REFUSALS {
        signing_refused(0, reason);
    }
}

/// There was no room.
pub const BUSY: &str = "busy";

/// Why nothing is signed (`docs/metrics.md`). `raft::FenceError` has most of them.
pub const REFUSALS: [&str; 15] = [
    "authority_changed",
    BUSY,
    "catching_up",
    "clock_not_agreed",
    "diverged",
    "leader_changed",
    "no_leader",
    "no_quorum",
    "not_leader",
    "not_ready",
    "not_voter",
    "request",
    "sealed",
    "unconfirmed",
    "wrong_clock",
];

#[cfg(test)]
mod tests {
    use steeple_telemetry::metric::{MetricSettings, Metrics};

    use super::super::ALL;
    use super::*;

    #[test]
    fn what_is_asked_for_is_in_the_queue_until_it_is_released_or_refused() {
        let settings = MetricSettings { prefix: "spire_server".into(), table: ALL, ..MetricSettings::default() };
        let metrics = Metrics::new(&settings).unwrap();
        let shows = |lines: &[&str]| {
            let text = metrics.render();
            for line in lines {
                assert!(text.lines().any(|shown| shown == *line), "{line}\n{text}");
            }
        };
        metrics::with_local_recorder(&metrics, || {
            declare();
            let params = wire::JwtSvidParams::default();
            let item = wire::SignItem { kind: Some(wire::sign_item::Kind::JwtSvid(params)), claim: None };
            let jwt = wire::sign_result::Result::Jwt(wire::TokenSigned::default());
            let results = [wire::SignResult { result: Some(jwt) }, wire::SignResult { result: None }];
            let first = SigningBatch::begin(2);
            let second = SigningBatch::begin(5);
            shows(&["steeple_signing_queue_length 7"]);
            first.released(&[item.clone(), item], &results);
            second.refused("no_quorum");
            drop(SigningBatch::begin(1));
            signing_given_up(3, &SignError::NotReady);
            signing_given_up(3, &SignError::Fenced { why: String::new() });
            signing_forwarded(Duration::from_millis(20), true);
        });
        shows(&[
            "steeple_signing_queue_length 0",
            "steeple_signing_batch_items_bucket{le=\"4\"} 2",
            "steeple_signing_seconds_count 1",
            "steeple_signing_forward_seconds_bucket{status=\"OK\",le=\"0.025\"} 1",
            "spire_server_server_ca_sign_jwt_svid 1",
            "steeple_signing_refused_total{reason=\"request\"} 1",
            "steeple_signing_refused_total{reason=\"no_quorum\"} 5",
            "steeple_signing_refused_total{reason=\"not_ready\"} 3",
            "steeple_signing_refused_total{reason=\"wrong_clock\"} 0",
        ]);
    }
}
