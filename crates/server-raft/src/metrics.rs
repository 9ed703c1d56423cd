//! Every metric of the server, in one place (`docs/metrics.md`). SPIRE's names come under the prefix `spire_server`.

use std::time::Duration;

use steeple_api::steeple::peer as wire;
use steeple_core::{AuthorityKind, Timestamp, TrustDomain};
use steeple_telemetry::metric::CallTimer;

use crate::driver::federation::BundleAges;
use crate::raft::{Replica, Role};

/// 1 while the server runs; labels `version` and `trust_domain_id`.
pub const STARTED: &str = "started";
pub const UPTIME_MS: &str = "uptime_in_ms";
/// Seconds until the CA certificate ends, at the moment of the scrape; labels `authority_id` and `slot`.
pub const CA_CERT_EXPIRY_SECS: &str = "ca_cert_expiry_seconds";
/// Seconds until the JWT key ends, at the moment of the scrape; labels `authority_id` and `slot`.
pub const JWT_KEY_EXPIRY_SECS: &str = "jwt_key_expiry_seconds";
/// SPIRE's own: Unix seconds at which the active CA certificate ends; label `trust_domain_id`.
pub const X509_CA_EXPIRATION: &str = "manager_x509_ca_rotate_expiration";
/// SPIRE's own: seconds that were left when it was activated; label `trust_domain_id`.
pub const X509_CA_TTL: &str = "manager_x509_ca_rotate_ttl";
/// 1 on the replica that leads.
pub const RAFT_IS_LEADER: &str = "raft_is_leader";
/// 1 while some replica is known to lead.
pub const RAFT_HAS_LEADER: &str = "raft_has_leader";
pub const RAFT_TERM: &str = "raft_term";
pub const RAFT_APPLIED_INDEX: &str = "raft_applied_index";
pub const RAFT_LAST_LOG_INDEX: &str = "raft_last_log_index";
pub const RAFT_VOTERS: &str = "raft_voters";
/// Voters that answered within the last seconds, this one included.
pub const RAFT_VOTERS_REACHABLE: &str = "raft_voters_reachable";
pub const ENTRIES: &str = "registration_entries";
pub const AGENTS: &str = "attested_agents";

/// A call counter: making an X.509 authority.
pub const X509_CA_PREPARE: &str = "ca_manager_x509_ca_prepare";
/// A call counter: making a JWT key.
pub const JWT_KEY_PREPARE: &str = "ca_manager_jwt_key_prepare";
pub const X509_CA_ACTIVATE: &str = "ca_manager_x509_ca_activate";
pub const JWT_KEY_ACTIVATE: &str = "manager_jwt_key_activate";
/// Signed on this replica, for agents and workloads of any.
pub const SIGN_X509_SVID: &str = "server_ca_sign_x509_svid";
pub const SIGN_X509_CA_SVID: &str = "server_ca_sign_x509_ca_svid";
pub const SIGN_JWT_SVID: &str = "server_ca_sign_jwt_svid";
/// A call counter: this replica's own SVID.
pub const SVID_ROTATE: &str = "svid_rotate";
/// A call counter with label `trust_domain_id`: polls of bundle endpoints, which the leader makes.
pub const FETCH_FEDERATED_BUNDLE: &str = "bundle_manager_fetch_federated_bundle";
/// Polls that brought another bundle than the one held; label `trust_domain_id`.
pub const UPDATE_FEDERATED_BUNDLE: &str = "bundle_manager_update_federated_bundle";
/// Seconds since a bundle endpoint last answered with a good bundle; on the leader, label `trust_domain_id`.
pub const FEDERATED_BUNDLE_AGE_SECS: &str = "federated_bundle_age_seconds";
/// Unix seconds of the latest scheduled backup that this replica knows; shown while it leads.
pub const BACKUP_LAST_SUCCESS_SECS: &str = "backup_last_success_timestamp_seconds";
pub const BACKUP_SIZE_BYTES: &str = "backup_size_bytes";
pub const BACKUP_DURATION_SECS: &str = "backup_duration_seconds";
/// Scheduled backups that failed.
pub const BACKUP_FAILURES: &str = "backup_failures";

/// The table of `docs/metrics.md`.
pub const ALL: &[&str] = &[
    STARTED,
    UPTIME_MS,
    CA_CERT_EXPIRY_SECS,
    JWT_KEY_EXPIRY_SECS,
    X509_CA_EXPIRATION,
    X509_CA_TTL,
    RAFT_IS_LEADER,
    RAFT_HAS_LEADER,
    RAFT_TERM,
    RAFT_APPLIED_INDEX,
    RAFT_LAST_LOG_INDEX,
    RAFT_VOTERS,
    RAFT_VOTERS_REACHABLE,
    ENTRIES,
    AGENTS,
    X509_CA_PREPARE,
    JWT_KEY_PREPARE,
    X509_CA_ACTIVATE,
    JWT_KEY_ACTIVATE,
    SIGN_X509_SVID,
    SIGN_X509_CA_SVID,
    SIGN_JWT_SVID,
    SVID_ROTATE,
    FETCH_FEDERATED_BUNDLE,
    UPDATE_FEDERATED_BUNDLE,
    FEDERATED_BUNDLE_AGE_SECS,
    BACKUP_LAST_SUCCESS_SECS,
    BACKUP_SIZE_BYTES,
    BACKUP_DURATION_SECS,
    BACKUP_FAILURES,
];

/// Started when an authority of `kind` is about to be made.
pub fn preparation(kind: AuthorityKind) -> CallTimer {
    CallTimer::start(match kind {
        AuthorityKind::X509 => X509_CA_PREPARE,
        AuthorityKind::Jwt => JWT_KEY_PREPARE,
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
    }
}

/// A poll of the trust domain's bundle endpoint brought something new.
pub fn federated_bundle_updated(trust_domain: &TrustDomain) {
    metrics::counter!(UPDATE_FEDERATED_BUNDLE, "trust_domain_id" => trust_domain.name().to_owned()).increment(1);
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

/// Sets the age of each bundle that is held and polled for.
pub fn observe_bundle_ages(replica: &Replica, ages: &BundleAges) {
    let ages = ages.now();
    let state = replica.state().read();
    for (trust_domain, age) in ages.into_iter().filter(|(trust_domain, _)| state.bundle(trust_domain).is_some()) {
        metrics::gauge!(FEDERATED_BUNDLE_AGE_SECS, "trust_domain_id" => trust_domain.name().to_owned()).set(age);
    }
}

/// Counts what was signed for `items` and released.
pub fn signed(items: &[wire::SignItem], results: &[wire::SignResult]) {
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
        metrics::counter!(name).increment(count as u64);
    }
}

/// Sets the gauges that are computed from the state, except expiry, right before a scrape is answered.
pub fn observe(replica: &Replica) {
    let status = replica.status();
    let flag = |on: bool| if on { 1.0 } else { 0.0 };
    metrics::gauge!(RAFT_IS_LEADER).set(flag(status.leader_id == Some(status.node_id)));
    metrics::gauge!(RAFT_HAS_LEADER).set(flag(status.leader_id.is_some()));
    metrics::gauge!(RAFT_TERM).set(status.term as f64);
    metrics::gauge!(RAFT_APPLIED_INDEX).set(status.applied_index as f64);
    metrics::gauge!(RAFT_LAST_LOG_INDEX).set(status.last_log_index as f64);
    let voters = || status.members.iter().filter(|member| member.role != Role::Learner);
    metrics::gauge!(RAFT_VOTERS).set(voters().count() as f64);
    metrics::gauge!(RAFT_VOTERS_REACHABLE)
        .set(voters().filter(|member| member.reachable || member.node_id == status.node_id).count() as f64);

    let state = replica.state().read();
    metrics::gauge!(ENTRIES).set(state.count_entries(&steeple_state::view::EntryFilter::default()) as f64);
    metrics::gauge!(AGENTS).set(state.count_agents(&steeple_state::view::AgentFilter::default()) as f64);
    if let (Some(active), Some(domain)) = (state.active_authority(AuthorityKind::X509), state.trust_domain()) {
        let domain = domain.name().to_owned();
        metrics::gauge!(X509_CA_EXPIRATION, "trust_domain_id" => domain).set(active.not_after.as_secs() as f64);
    }
}

/// Sets the seconds that each authority has left. Apart from [`observe`] because alerts rely on
/// `spire_server_ca_cert_expiry_seconds` whatever prefix is configured.
pub fn observe_expiry(replica: &Replica, now: Timestamp) {
    let state = replica.state().read();
    for (kind, name) in [(AuthorityKind::X509, CA_CERT_EXPIRY_SECS), (AuthorityKind::Jwt, JWT_KEY_EXPIRY_SECS)] {
        let set = state.authorities(kind);
        let slots = [("active", set.active.as_ref()), ("prepared", set.prepared()), ("old", set.old())];
        for (slot, authority) in slots {
            let Some(authority) = authority else { continue };
            let remaining = (authority.not_after.as_ms() - now.as_ms()) as f64 / 1000.0;
            metrics::gauge!(name, "authority_id" => authority.id.clone(), "slot" => slot).set(remaining);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_them_all() {
        let page = include_str!("../../../docs/metrics.md");
        let (_, server) = page.split_once("## Server").unwrap();
        let (server, _) = server.split_once("## Agent").unwrap();
        let documented: std::collections::BTreeSet<&str> =
            server.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)).collect();
        assert_eq!(documented, ALL.iter().copied().collect());
    }
}
