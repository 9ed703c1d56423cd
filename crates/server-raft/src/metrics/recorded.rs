//! Counters, recorded where something happens.

use std::time::Duration;

use steeple_core::{AuthorityKind, Timestamp, TrustDomain};
use steeple_telemetry::metric::CallTimer;

use super::{
    ACKNOWLEDGEMENTS_MISSING, ACME_ORDERS, ACTIVATED_WITHOUT, ACTIVATION_UNTIL, ATTESTATIONS_SHED, AUDIT_BREAKS,
    AUDIT_BYTES, AUDIT_FAILING, AUDIT_FAILURES, AUDIT_RECORDS, BACKUP_DURATION_SECS, BACKUP_FAILURES,
    BACKUP_LAST_SUCCESS_SECS, BACKUP_SIZE_BYTES, BUNDLE_PUBLISH, BUNDLE_PUBLISH_FAILING, JWT_KEY_ACTIVATE,
    JWT_KEY_PREPARE, PUSH_AGENTS, PUSH_CHANGES, PUSH_PROPAGATION_SECS, PUSH_RESYNCS, RAFT_LEADER_CHANGES,
    RAFT_PROPOSALS, RAFT_WAKE_UP_DELAY_SECS, UPDATE_FEDERATED_BUNDLE, WIT_KEY_ACTIVATE, WIT_KEY_PREPARE,
    X509_CA_ACTIVATE, X509_CA_PREPARE, X509_CA_TTL, signing, snapshots,
};

/// Shows at 0 what has not happened yet, so that a rate knows the first one too (Prometheus' advice).
pub fn declare() {
    let events = [X509_CA_ACTIVATE, JWT_KEY_ACTIVATE, RAFT_LEADER_CHANGES, BACKUP_FAILURES, PUSH_CHANGES, PUSH_RESYNCS];
    let shed = [ATTESTATIONS_SHED];
    let audit = [AUDIT_RECORDS, AUDIT_BYTES, AUDIT_FAILURES, AUDIT_BREAKS];
    for name in events.into_iter().chain(audit).chain(shed) {
        metrics::counter!(name).increment(0);
    }
    metrics::gauge!(PUSH_AGENTS).set(0.0);
    for stage in [SENT, ACKNOWLEDGED] {
        let _ = metrics::histogram!(PUSH_PROPAGATION_SECS, "stage" => stage);
    }
    signing::declare();
    snapshots::declare();
    audit_failing(false);
    for name in [X509_CA_PREPARE, JWT_KEY_PREPARE] {
        CallTimer::declare(name);
    }
    for kind in [AuthorityKind::X509, AuthorityKind::Jwt] {
        metrics::counter!(ACTIVATED_WITHOUT, "kind" => kind.name()).increment(0);
    }
    for result in ["committed", "refused", "ambiguous"] {
        metrics::counter!(RAFT_PROPOSALS, "result" => result).increment(0);
    }
}

/// Started when an authority of `kind` is about to be made.
pub fn preparation(kind: AuthorityKind) -> CallTimer {
    CallTimer::start(match kind {
        AuthorityKind::X509 => X509_CA_PREPARE,
        AuthorityKind::Jwt => JWT_KEY_PREPARE,
        AuthorityKind::Wit => WIT_KEY_PREPARE,
    })
}

/// An authority of `kind` began to sign at `now`.
pub fn activated(kind: AuthorityKind, trust_domain: &TrustDomain, now: Timestamp, not_after: Timestamp) {
    match kind {
        AuthorityKind::X509 => {
            metrics::counter!(X509_CA_ACTIVATE).increment(1);
            let domain = trust_domain.name().to_owned();
            metrics::gauge!(X509_CA_TTL, "trust_domain_id" => domain).set(not_after.since(now).as_secs_f64());
        }
        AuthorityKind::Jwt => metrics::counter!(JWT_KEY_ACTIVATE).increment(1),
        AuthorityKind::Wit => metrics::counter!(WIT_KEY_ACTIVATE).increment(1),
    }
}

/// How long a prepared authority of `kind` waits, and for how many; `None` while none is prepared.
pub fn activation_waits(kind: AuthorityKind, missing: usize, until: Option<Timestamp>) {
    metrics::gauge!(ACKNOWLEDGEMENTS_MISSING, "kind" => kind.name()).set(missing as f64);
    let until = until.map_or(0.0, |until| until.as_secs() as f64);
    metrics::gauge!(ACTIVATION_UNTIL, "kind" => kind.name()).set(until);
}

/// An authority of `kind` began to sign although somebody may not know it.
pub fn activated_without(kind: AuthorityKind) {
    metrics::counter!(ACTIVATED_WITHOUT, "kind" => kind.name()).increment(1);
}

/// A poll of the trust domain's bundle endpoint brought something new.
pub fn federated_bundle_updated(trust_domain: &TrustDomain) {
    metrics::counter!(UPDATE_FEDERATED_BUNDLE, "trust_domain_id" => trust_domain.name().to_owned()).increment(1);
}

/// A publisher tried to show the own bundle.
pub fn bundle_published(plugin_name: &str, is_ok: bool) {
    let status = if is_ok { "OK" } else { "Error" };
    metrics::counter!(BUNDLE_PUBLISH, "plugin_name" => plugin_name.to_owned(), "status" => status).increment(1);
    let failing = if is_ok { 0.0 } else { 1.0 };
    metrics::gauge!(BUNDLE_PUBLISH_FAILING, "plugin_name" => plugin_name.to_owned()).set(failing);
}

/// Another replica publishes from now on.
pub fn bundle_publisher_rests(plugin_name: &str) {
    metrics::gauge!(BUNDLE_PUBLISH_FAILING, "plugin_name" => plugin_name.to_owned()).set(0.0);
}

/// An order for a certificate of `domain` ended.
pub fn acme_order(domain: &str, is_ok: bool) {
    let status = if is_ok { "OK" } else { "Error" };
    metrics::counter!(ACME_ORDERS, "domain" => domain.to_owned(), "status" => status).increment(1);
}

/// The latest scheduled backup is of `at`.
pub fn backup_known(at: Timestamp) {
    metrics::gauge!(BACKUP_LAST_SUCCESS_SECS).set(at.as_secs() as f64);
}

pub fn backup_taken(at: Timestamp, size_bytes: u64, took: Duration) {
    backup_known(at);
    metrics::gauge!(BACKUP_SIZE_BYTES).set(size_bytes as f64);
    metrics::gauge!(BACKUP_DURATION_SECS).set(took.as_secs_f64());
}

pub fn backup_failed() {
    metrics::counter!(BACKUP_FAILURES).increment(1);
}

/// So many agents are on push streams to this replica.
pub fn push_agents(count: usize) {
    metrics::gauge!(PUSH_AGENTS).set(count as f64);
}

/// An agent was sent a change, the last piece of it included.
pub fn push_change() {
    metrics::counter!(PUSH_CHANGES).increment(1);
}

/// How long changes took to their agents. Until an agent serves one, if `is_acknowledged`; until it was sent otherwise.
pub fn propagated(is_acknowledged: bool, took: Duration) {
    let stage = if is_acknowledged { ACKNOWLEDGED } else { SENT };
    metrics::histogram!(PUSH_PROPAGATION_SECS, "stage" => stage).record(took.as_secs_f64());
}

/// An agent says, or is asked, what it holds.
pub fn push_resync() {
    metrics::counter!(PUSH_RESYNCS).increment(1);
}

/// So many records are in the audit file more, those of the chain itself included.
pub fn audit_written(records: u64, bytes: u64) {
    metrics::counter!(AUDIT_RECORDS).increment(records);
    metrics::counter!(AUDIT_BYTES).increment(bytes);
}

/// So many records could not be written.
pub fn audit_failed(records: u64) {
    metrics::counter!(AUDIT_FAILURES).increment(records);
}

pub fn audit_failing(is_failing: bool) {
    metrics::gauge!(AUDIT_FAILING).set(if is_failing { 1.0 } else { 0.0 });
}

/// The audit file has less in it than the cluster knows.
pub fn audit_broken() {
    metrics::counter!(AUDIT_BREAKS).increment(1);
}

/// Another replica leads than before, or the same one in another term.
pub fn leader_changed() {
    metrics::counter!(RAFT_LEADER_CHANGES).increment(1);
}

/// `commands` that this replica took as the leader ended with `result`: `committed`, `refused` or `ambiguous`.
pub fn proposed(commands: usize, result: &'static str) {
    metrics::counter!(RAFT_PROPOSALS, "result" => result).increment(commands as u64);
}

/// A node was refused because there are too many.
pub fn attestation_shed() {
    metrics::counter!(ATTESTATIONS_SHED).increment(1);
}

/// The threads of the consensus woke up too late, `by` at most in the last second.
pub fn raft_woke_late(by: Duration) {
    metrics::gauge!(RAFT_WAKE_UP_DELAY_SECS).set(by.as_secs_f64());
}

const SENT: &str = "sent";
const ACKNOWLEDGED: &str = "acknowledged";
