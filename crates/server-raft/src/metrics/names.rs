//! Names, without the prefix that SPIRE's are shown under.

/// 1 while the server runs; labels `version` and `trust_domain_id`.
pub const STARTED: &str = "started";
pub const UPTIME_MS: &str = "uptime_in_ms";
/// Seconds until the CA certificate ends, at the moment of the scrape; labels `authority_id` and `slot`.
pub const CA_CERT_EXPIRY_SECS: &str = "ca_cert_expiry_seconds";
/// Seconds until the JWT key ends, at the moment of the scrape; labels `authority_id` and `slot`.
pub const JWT_KEY_EXPIRY_SECS: &str = "jwt_key_expiry_seconds";
/// As [`JWT_KEY_EXPIRY_SECS`], of the WIT key.
pub const WIT_KEY_EXPIRY_SECS: &str = "wit_key_expiry_seconds";
/// SPIRE's own: Unix seconds at which the active CA certificate ends; label `trust_domain_id`.
pub const X509_CA_EXPIRATION: &str = "manager.x509_ca.rotate.expiration";
/// SPIRE's own: seconds that were left when it was activated; label `trust_domain_id`.
pub const X509_CA_TTL: &str = "manager.x509_ca.rotate.ttl";
/// 1 while the sealing key is missing or wrong: this replica votes and follows, and serves nothing that needs a key.
pub const SEALED: &str = "steeple_sealed";
/// 1 on the replica that leads.
pub const RAFT_IS_LEADER: &str = "steeple_raft_is_leader";
/// 1 while some replica is known to lead.
pub const RAFT_HAS_LEADER: &str = "steeple_raft_has_leader";
pub const RAFT_TERM: &str = "steeple_raft_term";
pub const RAFT_APPLIED_INDEX: &str = "steeple_raft_applied_index";
pub const RAFT_LAST_LOG_INDEX: &str = "steeple_raft_last_log_index";
pub const RAFT_VOTERS: &str = "steeple_raft_voters";
/// Voters that answered within the last seconds, this one included.
pub const RAFT_VOTERS_REACHABLE: &str = "steeple_raft_voters_reachable";
/// Voters that may fail before nothing can be written.
pub const RAFT_FAILURE_TOLERANCE: &str = "steeple_raft_failure_tolerance";
/// Which commands may be written to the log: `cluster finalize` raises it.
pub const CLUSTER_VERSION: &str = "steeple_cluster_version";
/// Members whose state differed from this replica's when they were compared last.
pub const STATE_DIFFERING: &str = "steeple_state_differing_members";
/// 1 while this replica serves nothing because a quorum holds another state.
pub const STATE_FENCED: &str = "steeple_state_fenced";
pub const ENTRIES: &str = "steeple_registration_entries";
/// Agents by label `state`: `current`, `late` (in the last sixth of `agent_ttl`), `expired` and `banned`.
pub const AGENTS: &str = "steeple_attested_agents";
/// 1; labels `cluster_id`, `node_id` and `name`.
pub const CLUSTER_INFO: &str = "steeple_cluster_info";
/// Leaders that this replica has seen come up.
pub const RAFT_LEADER_CHANGES: &str = "steeple_raft_leader_changes_total";
/// Commands given to Raft on this replica while it leads; label `result`.
pub const RAFT_PROPOSALS: &str = "steeple_raft_proposals_total";
/// A histogram: syncs of the write-ahead log.
pub const WAL_SYNC_SECS: &str = "steeple_wal_sync_seconds";
/// Writes that wait for a sync now.
pub const WAL_SYNC_QUEUE: &str = "steeple_wal_sync_queue_length";
pub const VOLUME_SIZE_BYTES: &str = "steeple_data_volume_size_bytes";
pub const VOLUME_AVAILABLE_BYTES: &str = "steeple_data_volume_available_bytes";

/// The whole life of each CA certificate; labels `authority_id` and `slot`.
pub const CA_LIFETIME_SECS: &str = "steeple_ca_lifetime_seconds";
/// The whole life of each JWT key; labels `authority_id` and `slot`.
pub const JWT_KEY_LIFETIME_SECS: &str = "steeple_jwt_key_lifetime_seconds";
/// The whole life of each WIT key; labels `authority_id` and `slot`.
pub const WIT_KEY_LIFETIME_SECS: &str = "steeple_wit_key_lifetime_seconds";
/// Until a root of the own bundle ends, while the CA is signed by an upstream authority; label `authority_id`.
pub const UPSTREAM_ROOT_EXPIRY_SECS: &str = "steeple_upstream_root_expiry_seconds";
/// The longest X.509-SVID lifetime that an entry or the default asks for.
pub const X509_SVID_TTL_MAX_SECS: &str = "steeple_x509_svid_ttl_max_seconds";

/// A call counter: making an X.509 authority.
pub const X509_CA_PREPARE: &str = "ca.manager.x509_ca.prepare";
/// A call counter: making a JWT key.
pub const JWT_KEY_PREPARE: &str = "ca.manager.jwt_key.prepare";
/// A call counter: making a WIT key.
pub const WIT_KEY_PREPARE: &str = "ca.manager.wit_key.prepare";
pub const X509_CA_ACTIVATE: &str = "ca.manager.x509_ca.activate";
pub const JWT_KEY_ACTIVATE: &str = "manager.jwt_key.activate";
pub const WIT_KEY_ACTIVATE: &str = "manager.wit_key.activate";
/// Agents and replicas that lack the bundle with the prepared authority, on the leader; label `kind`. 0 while none is
/// prepared.
pub const ACKNOWLEDGEMENTS_MISSING: &str = "steeple_ca_acknowledgements_missing";
/// Unix seconds at which the prepared authority takes over whoever is missing, on the leader; label `kind`. 0 while
/// none is prepared.
pub const ACTIVATION_UNTIL: &str = "steeple_ca_activation_until_timestamp_seconds";
/// Activations that went ahead although somebody was missing; label `kind`.
pub const ACTIVATED_WITHOUT: &str = "steeple_ca_activated_unacknowledged_total";
/// Signed on this replica, for agents and workloads of any.
pub const SIGN_X509_SVID: &str = "server_ca.sign.x509_svid";
pub const SIGN_X509_CA_SVID: &str = "server_ca.sign.x509_ca_svid";
pub const SIGN_JWT_SVID: &str = "server_ca.sign.jwt_svid";
/// A call counter: this replica's own SVID.
pub const SVID_ROTATE: &str = "svid.rotate";
/// A call counter with label `trust_domain_id`: polls of bundle endpoints, which the leader makes.
pub const FETCH_FEDERATED_BUNDLE: &str = "bundle_manager.fetch.federated_bundle";
/// Polls that brought another bundle than the one held; label `trust_domain_id`.
pub const UPDATE_FEDERATED_BUNDLE: &str = "bundle_manager.update.federated_bundle";
/// Seconds since a bundle endpoint last answered with a good bundle; on the leader, label `trust_domain_id`.
pub const FEDERATED_BUNDLE_AGE_SECS: &str = "steeple_federated_bundle_age_seconds";
/// Between two polls of a bundle endpoint, as its refresh hint wants it; label `trust_domain_id`.
pub const FEDERATED_BUNDLE_POLL_INTERVAL_SECS: &str = "steeple_federated_bundle_poll_interval_seconds";
/// Until the last root of a federated bundle ends; label `trust_domain_id`.
pub const FEDERATED_BUNDLE_EXPIRY_SECS: &str = "steeple_federated_bundle_expiry_seconds";
/// Attempts to publish the own bundle; labels `plugin_name` and `status`, which is `OK` or `Error`.
pub const BUNDLE_PUBLISH: &str = "steeple_bundle_publish_total";
/// 1 while the last attempt of a publisher failed; label `plugin_name`.
pub const BUNDLE_PUBLISH_FAILING: &str = "steeple_bundle_publish_failing";
/// Orders at an ACME server, on the leader; labels `domain` and `status`, which is `OK` or `Error`.
pub const ACME_ORDERS: &str = "steeple_acme_orders_total";
/// Until the certificate of a name that ACME gave ends; label `domain`.
pub const WEB_CERTIFICATE_EXPIRY_SECS: &str = "steeple_web_certificate_expiry_seconds";
/// Unix seconds of the latest scheduled backup that this replica knows; shown while it leads.
pub const BACKUP_LAST_SUCCESS_SECS: &str = "steeple_backup_last_success_timestamp_seconds";
pub const BACKUP_SIZE_BYTES: &str = "steeple_backup_size_bytes";
pub const BACKUP_DURATION_SECS: &str = "steeple_backup_duration_seconds";
/// Scheduled backups that failed.
pub const BACKUP_FAILURES: &str = "steeple_backup_failures_total";
/// Agents on push streams to this replica.
pub const PUSH_AGENTS: &str = "steeple_push_agents";
/// Changes sent to them.
pub const PUSH_CHANGES: &str = "steeple_push_changes_total";
/// Agents that had to say what they hold.
pub const PUSH_RESYNCS: &str = "steeple_push_resyncs_total";
/// Records in the audit file.
pub const AUDIT_RECORDS: &str = "steeple_audit_records_total";
pub const AUDIT_BYTES: &str = "steeple_audit_bytes_total";
/// Records that could not be written.
pub const AUDIT_FAILURES: &str = "steeple_audit_failures_total";
/// 1 while records cannot be written.
pub const AUDIT_FAILING: &str = "steeple_audit_failing";
/// Starts that found less in the file than the cluster knows.
pub const AUDIT_BREAKS: &str = "steeple_audit_breaks_total";

/// The table of `docs/metrics.md`.
pub const ALL: &[&str] = &[
    STARTED,
    UPTIME_MS,
    CA_CERT_EXPIRY_SECS,
    JWT_KEY_EXPIRY_SECS,
    WIT_KEY_EXPIRY_SECS,
    X509_CA_EXPIRATION,
    X509_CA_TTL,
    SEALED,
    RAFT_IS_LEADER,
    RAFT_HAS_LEADER,
    RAFT_TERM,
    RAFT_APPLIED_INDEX,
    RAFT_LAST_LOG_INDEX,
    RAFT_VOTERS,
    RAFT_VOTERS_REACHABLE,
    RAFT_FAILURE_TOLERANCE,
    CLUSTER_VERSION,
    STATE_DIFFERING,
    STATE_FENCED,
    ENTRIES,
    AGENTS,
    CLUSTER_INFO,
    RAFT_LEADER_CHANGES,
    RAFT_PROPOSALS,
    WAL_SYNC_SECS,
    WAL_SYNC_QUEUE,
    VOLUME_SIZE_BYTES,
    VOLUME_AVAILABLE_BYTES,
    CA_LIFETIME_SECS,
    JWT_KEY_LIFETIME_SECS,
    WIT_KEY_LIFETIME_SECS,
    UPSTREAM_ROOT_EXPIRY_SECS,
    X509_SVID_TTL_MAX_SECS,
    X509_CA_PREPARE,
    JWT_KEY_PREPARE,
    WIT_KEY_PREPARE,
    X509_CA_ACTIVATE,
    JWT_KEY_ACTIVATE,
    WIT_KEY_ACTIVATE,
    ACKNOWLEDGEMENTS_MISSING,
    ACTIVATION_UNTIL,
    ACTIVATED_WITHOUT,
    SIGN_X509_SVID,
    SIGN_X509_CA_SVID,
    SIGN_JWT_SVID,
    SVID_ROTATE,
    FETCH_FEDERATED_BUNDLE,
    UPDATE_FEDERATED_BUNDLE,
    FEDERATED_BUNDLE_AGE_SECS,
    FEDERATED_BUNDLE_POLL_INTERVAL_SECS,
    FEDERATED_BUNDLE_EXPIRY_SECS,
    BUNDLE_PUBLISH,
    BUNDLE_PUBLISH_FAILING,
    ACME_ORDERS,
    WEB_CERTIFICATE_EXPIRY_SECS,
    BACKUP_LAST_SUCCESS_SECS,
    BACKUP_SIZE_BYTES,
    BACKUP_DURATION_SECS,
    BACKUP_FAILURES,
    PUSH_AGENTS,
    PUSH_CHANGES,
    PUSH_RESYNCS,
    AUDIT_RECORDS,
    AUDIT_BYTES,
    AUDIT_FAILURES,
    AUDIT_FAILING,
    AUDIT_BREAKS,
];
