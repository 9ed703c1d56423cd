//! The table of all: names, without the prefix that SPIRE's are shown under, labels, and what `# HELP` says. The
//! page `docs/metrics.md` has the same words.

use steeple_telemetry::metric_table;

metric_table! {
    Gauge CA_CERT_EXPIRY_SECS = "ca_cert_expiry_seconds" [authority_id slot]
        "seconds until the CA certificate ends, computed at the scrape";
    Gauge JWT_KEY_EXPIRY_SECS = "jwt_key_expiry_seconds" [authority_id slot]
        "seconds until the JWT key ends, computed at the scrape";
    Gauge WIT_KEY_EXPIRY_SECS = "wit_key_expiry_seconds" [authority_id slot]
        "seconds until the WIT key ends, with WIT-SVIDs, computed at the scrape";
    Gauge X509_CA_EXPIRATION = "manager.x509_ca.rotate.expiration" [trust_domain_id]
        "Unix seconds at which the active CA ends";
    Gauge X509_CA_TTL = "manager.x509_ca.rotate.ttl" [trust_domain_id]
        "seconds of life that the active CA had when this replica activated it";
    Calls X509_CA_PREPARE = "ca.manager.x509_ca.prepare" [status] "making an X.509 authority";
    Calls JWT_KEY_PREPARE = "ca.manager.jwt_key.prepare" [status] "making a JWT key";
    Calls WIT_KEY_PREPARE = "ca.manager.wit_key.prepare" [status] "making a WIT key";
    Counter X509_CA_ACTIVATE = "ca.manager.x509_ca.activate" [] "X.509 authorities that this replica activated";
    Counter JWT_KEY_ACTIVATE = "manager.jwt_key.activate" [] "JWT keys that this replica activated";
    Counter WIT_KEY_ACTIVATE = "manager.wit_key.activate" [] "WIT keys that this replica activated";
    Gauge ACKNOWLEDGEMENTS_MISSING = "steeple_ca_acknowledgements_missing" [kind]
        "on the leader: agents and replicas that lack the bundle with the prepared authority; 0 while none is prepared";
    Gauge ACTIVATION_UNTIL = "steeple_ca_activation_until_timestamp_seconds" [kind]
        "on the leader: Unix seconds at which the prepared authority takes over whoever is missing; 0 while none is \
         prepared";
    Counter ACTIVATED_WITHOUT = "steeple_ca_activated_unacknowledged_total" [kind]
        "activations by this replica although somebody was missing";
    Counter SIGN_X509_SVID = "server_ca.sign.x509_svid" []
        "X.509-SVIDs that this replica signed, for clients of any replica";
    Counter SIGN_X509_CA_SVID = "server_ca.sign.x509_ca_svid" [] "downstream CA certificates that this replica signed";
    Counter SIGN_JWT_SVID = "server_ca.sign.jwt_svid" [] "JWT-SVIDs that this replica signed";
    Histogram(&SIGNING_BUCKETS) SIGNING_SECS = "steeple_signing_seconds" []
        "how long this replica's signer took for a batch, checks of its right to sign included";
    Histogram(&BATCH_BUCKETS) SIGNING_BATCH_ITEMS = "steeple_signing_batch_items" []
        "signatures in a batch that this replica's signer was asked for";
    Gauge SIGNING_QUEUE = "steeple_signing_queue_length" []
        "signatures that this replica's signer was asked for and has not released";
    Histogram(&SIGNING_BUCKETS) SIGNING_FORWARD_SECS = "steeple_signing_forward_seconds" [status]
        "how long the leader took to answer a batch that this replica sent to it: OK or Error";
    Counter SIGNING_REFUSED = "steeple_signing_refused_total" [reason]
        "signatures that were refused, once for each attempt, by reason";
    Calls SVID_ROTATE = "svid.rotate" [status] "renewal of this replica's own SVID";
    Calls FETCH_FEDERATED_BUNDLE = "bundle_manager.fetch.federated_bundle" [trust_domain_id status]
        "polls of bundle endpoints, on the leader";
    Counter UPDATE_FEDERATED_BUNDLE = "bundle_manager.update.federated_bundle" [trust_domain_id]
        "polls that brought another bundle than the one held";
    Gauge FEDERATED_BUNDLE_AGE_SECS = "steeple_federated_bundle_age_seconds" [trust_domain_id]
        "seconds since the bundle endpoint last answered with a good bundle, on the leader; a new leader counts from \
         its election";
    Gauge SEALED = "steeple_sealed" []
        "1 while the sealing key is missing or wrong (docs/plugins/seal.md): the replica votes and follows, and \
         serves nothing that needs a key";
    Gauge RAFT_IS_LEADER = "steeple_raft_is_leader" []
        "1 on the replica that leads; it stays 1 on one that lost its quorum until it hears of another";
    Gauge CLOCK_AHEAD_SECS = "steeple_replicated_clock_ahead_seconds" []
        "how far the replicated clock is ahead of this replica's; 0 while it is not";
    Gauge WAL_SYNC_SLOW = "steeple_wal_sync_slow" []
        "1 while the disk is slow: a leader hands over to a replica whose disk is not";
    Gauge RAFT_HAS_LEADER = "steeple_raft_has_leader" [] "1 while some replica leads and answers this one";
    Gauge RAFT_TERM = "steeple_raft_term" [] "Raft's term";
    Gauge RAFT_APPLIED_INDEX = "steeple_raft_applied_index" [] "the last log entry that this replica has applied";
    Gauge RAFT_LAST_LOG_INDEX = "steeple_raft_last_log_index" [] "the last log entry that this replica holds";
    Gauge RAFT_VOTERS = "steeple_raft_voters" []
        "voters of the cluster; in the middle of a change of the membership, of the set with the fewest to spare";
    Gauge RAFT_VOTERS_REACHABLE = "steeple_raft_voters_reachable" [] "those of them that answered lately";
    Gauge RAFT_FAILURE_TOLERANCE = "steeple_raft_failure_tolerance" []
        "voters that may fail before nothing can be written";
    Gauge RAFT_MEMBER_REACHABLE = "steeple_raft_member_reachable" [member node_id]
        "1 while the member answers this replica; 1 of itself";
    Gauge RAFT_MEMBER_HEALTHY = "steeple_raft_member_healthy" [member node_id]
        "1 while the member answers and keeps up, as this replica sees it; 1 of itself";
    Gauge RAFT_MEMBER_LAST_CONTACT_SECS = "steeple_raft_member_last_contact_seconds" [member node_id]
        "seconds since the member answered last; none of this replica, and of a member that never did";
    Gauge RAFT_MEMBER_PING_SECS = "steeple_raft_member_ping_seconds" [member node_id]
        "how long the member took for its last answer to a ping; a silent one keeps it";
    Gauge RAFT_MEMBER_LAG = "steeple_raft_member_lag_entries" [member node_id]
        "log entries that the member is not known to hold, of those that some member is known to hold";
    Gauge RAFT_SNAPSHOT_INDEX = "steeple_raft_snapshot_index" []
        "the last log entry that this replica's snapshot covers";
    Gauge RAFT_LOG_ENTRIES = "steeple_raft_log_entries" []
        "log entries that this replica holds, those since the last purge";
    Counter SNAPSHOTS = "steeple_snapshots_total" [kind status]
        "snapshots that this replica has taken, received and installed, or sent to another one: OK or Error";
    Histogram(&SNAPSHOT_BUCKETS) SNAPSHOT_DURATION_SECS = "steeple_snapshot_duration_seconds" [kind]
        "how long snapshots took that succeeded";
    Gauge SNAPSHOT_SIZE_BYTES = "steeple_snapshot_size_bytes" [kind] "size of the last snapshot of the kind";
    Gauge SNAPSHOT_LAST_SUCCESS_SECS = "steeple_snapshot_last_success_timestamp_seconds" [kind]
        "Unix time at which the last snapshot of the kind was done";
    Gauge CLUSTER_VERSION = "steeple_cluster_version" []
        "which commands may be written to the log; cluster finalize raises it";
    Gauge STATE_DIFFERING = "steeple_state_differing_members" []
        "members whose state differed from this replica's when they were compared last";
    Gauge STATE_FENCED = "steeple_state_fenced" []
        "1 while this replica serves nothing because a quorum holds another state";
    Gauge ENTRIES = "steeple_registration_entries" [] "registration entries";
    Gauge AGENTS = "steeple_attested_agents" [state]
        "agents: current, late (in the last sixth of agent_ttl: renewal fails), expired or banned";
    Histogram(&[]) AGENT_SVID_AGE_SECS = "steeple_attested_agent_svid_age_seconds" []
        "how long ago each agent that is not banned got its present SVID, by agent_ttl and its end; of this moment, \
         not since the start";
    Histogram(&[]) AGENT_SVID_AGE_RATIO = "steeple_attested_agent_svid_age_ratio" []
        "the age of the present SVID of each agent that is not banned, as a part of agent_ttl; above 1 it has expired";
    Gauge JOIN_TOKENS = "steeple_join_tokens" [state] "join tokens that nobody has used: valid or expired";
    Gauge FEDERATED_BUNDLES = "steeple_federated_bundles" [] "bundles of other trust domains that are held";
    Gauge FEDERATION_RELATIONSHIPS = "steeple_federation_relationships" []
        "trust domains whose bundle endpoint is polled";
    Gauge STATE_ROWS = "steeple_state_rows" [] "rows of all tables of the replicated state";
    Gauge FEDERATED_BUNDLE_POLL_INTERVAL_SECS = "steeple_federated_bundle_poll_interval_seconds" [trust_domain_id]
        "seconds between two polls of the bundle endpoint, as the refresh hint wants it";
    Gauge FEDERATED_BUNDLE_EXPIRY_SECS = "steeple_federated_bundle_expiry_seconds" [trust_domain_id]
        "seconds until the last root of the federated bundle ends";
    Gauge CLUSTER_INFO = "steeple_cluster_info" [cluster_id node_id name]
        "1; the labels say which member of which cluster this is";
    Counter RAFT_LEADER_CHANGES = "steeple_raft_leader_changes_total" [] "leaders that this replica has seen come up";
    Counter RAFT_PROPOSALS = "steeple_raft_proposals_total" [result]
        "commands that this replica took while it led: committed, refused (nothing was written) or ambiguous";
    Gauge RAFT_WAKE_UP_DELAY_SECS = "steeple_raft_wake_up_delay_seconds" []
        "by how much the threads of the consensus woke up too late, the longest of the last second";
    Counter ATTESTATIONS_SHED = "steeple_attestations_shed_total" []
        "attestations that were refused because there were too many";
    Histogram(&[]) WAL_SYNC_SECS = "steeple_wal_sync_seconds" [] "syncs of the write-ahead log";
    Gauge WAL_SYNC_QUEUE = "steeple_wal_sync_queue_length" [] "writes that wait for a sync";
    Gauge VOLUME_SIZE_BYTES = "steeple_data_volume_size_bytes" [] "size of the volume that holds data_dir";
    Gauge VOLUME_AVAILABLE_BYTES = "steeple_data_volume_available_bytes" []
        "room left on the volume that holds data_dir";
    Gauge CA_LIFETIME_SECS = "steeple_ca_lifetime_seconds" [authority_id slot] "whole life of the CA certificate";
    Gauge JWT_KEY_LIFETIME_SECS = "steeple_jwt_key_lifetime_seconds" [authority_id slot] "whole life of the JWT key";
    Gauge WIT_KEY_LIFETIME_SECS = "steeple_wit_key_lifetime_seconds" [authority_id slot] "whole life of the WIT key";
    Gauge UPSTREAM_ROOT_EXPIRY_SECS = "steeple_upstream_root_expiry_seconds" [authority_id]
        "seconds until a root of the own bundle ends, under an upstream authority";
    Gauge X509_SVID_TTL_MAX_SECS = "steeple_x509_svid_ttl_max_seconds" []
        "the longest X.509-SVID lifetime that an entry or the default asks for";
    Counter BUNDLE_PUBLISH = "steeple_bundle_publish_total" [plugin_name status]
        "attempts to publish the own bundle: OK or Error";
    Gauge BUNDLE_PUBLISH_FAILING = "steeple_bundle_publish_failing" [plugin_name]
        "1 while the last attempt of a bundle publisher failed. Alert when it stays";
    Counter ACME_ORDERS = "steeple_acme_orders_total" [domain status]
        "orders at an ACME server, on the leader: OK or Error";
    Gauge WEB_CERTIFICATE_EXPIRY_SECS = "steeple_web_certificate_expiry_seconds" [domain]
        "seconds until the certificate that ACME gave for the name ends. Alert below a week";
    Gauge BACKUP_DURATION_SECS = "steeple_backup_duration_seconds" []
        "how long the last scheduled backup took, on the replica that took it";
    Counter BACKUP_FAILURES = "steeple_backup_failures_total" []
        "scheduled backups that failed; the cause is in the log";
    Gauge BACKUP_LAST_SUCCESS_SECS = "steeple_backup_last_success_timestamp_seconds" []
        "Unix time of the latest scheduled backup in the directory or bucket, on the leader. Alert when it is older \
         than two intervals, or missing while backups fail";
    Gauge BACKUP_SIZE_BYTES = "steeple_backup_size_bytes" [] "size of the last scheduled backup";
    Gauge PUSH_AGENTS = "steeple_push_agents" [] "agents on push streams to this replica";
    Counter PUSH_CHANGES = "steeple_push_changes_total" [] "changes that were sent to agents on push streams";
    Histogram(&PROPAGATION_BUCKETS) PUSH_PROPAGATION_SECS = "steeple_push_propagation_seconds" [stage]
        "from a change's application on this replica until it was sent to an agent on a push stream, and until the \
         agent acknowledged that it serves it";
    Gauge PUSH_UNACKNOWLEDGED_OLDEST_SECS = "steeple_push_unacknowledged_oldest_seconds" []
        "how long the oldest change waits that an agent on a push stream to this replica has not acknowledged; 0 if \
         none does. Alert when it stays above 30";
    Counter PUSH_RESYNCS = "steeple_push_resyncs_total" []
        "agents that had to say what they hold, because hash and index did not tell";
    Counter AUDIT_RECORDS = "steeple_audit_records_total" []
        "records in the audit file (audit.md), those about the chain included";
    Counter AUDIT_BYTES = "steeple_audit_bytes_total" [] "bytes of the records in the audit file";
    Counter AUDIT_FAILURES = "steeple_audit_failures_total" [] "records that could not be written";
    Gauge AUDIT_FAILING = "steeple_audit_failing" [] "1 while records cannot be written";
    Counter AUDIT_BREAKS = "steeple_audit_breaks_total" []
        "starts that found less in the audit files than the cluster or the chain knows, and files deleted while they \
         were written";
    Gauge STARTED = "started" [version trust_domain_id] "1 since the program started";
    Gauge UPTIME_MS = "uptime_in_ms" [] "milliseconds since the start";
}

/// A signature takes some tens of microseconds, a large batch a good part of a second, and an election is waited for.
const SIGNING_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// Up to `SIGN_ITEMS_MAX` of the peer protocol.
const BATCH_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0];
/// Milliseconds on a push stream; an agent that was away may take long.
const PROPAGATION_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0];
/// A few rows to gigabytes.
const SNAPSHOT_BUCKETS: [f64; 10] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0];
