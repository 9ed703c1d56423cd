//! Every metric of the agent, in one place (`docs/metrics.md`). Names are SPIRE's, under the prefix `spire_agent`;
//! those that begin with `steeple_` are ours and keep that name under every configured prefix.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use steeple_api::methods_of;
use steeple_core::{Entry, Timestamp};
use steeple_telemetry::metric::{Ages, CountCalls};
use steeple_telemetry::metric_table;

use crate::cache::EntryState;

metric_table! {
    Gauge SVIDS = "lru_cache_svid_map_size" [svid_type] "X.509-SVIDs held";
    Histogram(&[]) WORKLOAD_SVID_AGE_SECS = "steeple_agent_workload_svid_age_seconds" []
        "how long ago each X.509-SVID held was issued; of this moment, not since the start";
    Histogram(&[]) WORKLOAD_SVID_AGE_RATIO = "steeple_agent_workload_svid_age_ratio" []
        "the age of each X.509-SVID held, as a part of its life; above 1 it has expired";
    Gauge ENTRIES = "lru_cache_record_map_size" [svid_type] "entries known";
    Counter ENTRY_ADD = "lru_cache_entry_add" [] "entries that came";
    Counter ENTRY_UPDATE = "lru_cache_entry_update" [] "entries that changed";
    Counter ENTRY_REMOVE = "lru_cache_entry_remove" [] "entries that went";
    Gauge JWT_SVIDS = "jwt_svid_cache_size" [] "JWT-SVIDs held";
    Calls FETCH_ENTRIES = "manager.sync.fetch_entries_updates" [status] "syncs of entries and bundles";
    Calls FETCH_SVIDS = "manager.sync.fetch_svids_updates" [status] "minting what fell due";
    Gauge SYNC_BUNDLES = "sync_bundles_total" [] "bundles in the last sync";
    Gauge SYNC_ENTRIES = "sync_entries_total" [] "entries in the last sync";
    Gauge SYNC_MISSING = "sync_entries_missing" [] "entries in the last sync that were new to the agent";
    Gauge SYNC_STALE = "sync_entries_stale" [] "entries in the last sync that had changed";
    Gauge SYNC_DROPPED = "sync_entries_dropped" [] "entries that the last sync took away";
    Gauge LAST_SYNC_TIMESTAMP_SECS = "steeple_agent_last_sync_timestamp_seconds" []
        "Unix seconds of the last sync that succeeded";
    Gauge SYNC_INTERVAL_SECS = "steeple_agent_sync_interval_seconds" [] "sync_interval";
    Gauge PUSH_CONNECTED = "steeple_agent_push_connected" []
        "1 while a push stream keeps the agent current; it polls otherwise";
    Counter PUSH_CHANGES = "steeple_agent_push_changes_total" [] "changes that came on push streams";
    Histogram(&PROPAGATION_BUCKETS) PUSH_TO_SVID_SECS = "steeple_agent_push_to_svid_seconds" []
        "from a pushed entry's arrival until its X.509-SVID was in the cache";
    Counter PUSH_RESYNCS = "steeple_agent_push_resyncs_total" []
        "pushed changes that did not lead to the set that the server meant";
    Calls GENERATE_KEY = "agent_key_manager.generate_key" [status] "making the agent's own keys";
    Calls GET_KEYS = "agent_key_manager.get_keys" [status] "reading the agent's own keys";
    Calls NEW_SVID = "node.attestor.new_svid" [attestor status] "node attestations";
    Gauge BOOTSTRAPPED = "bootstrapped" [] "1 once the agent has an SVID";
    Gauge BOOTSTRAP_SECS = "bootstrap_seconds" [mode] "how long the last attestation took, with its retries";
    Gauge BOOTSTRAP_ATTEMPTS = "bootstrap_attempts" [mode] "how many attempts the last attestation took";
    Counter WORKLOAD_CONNECTION = "workload_api.connection" [] "Workload API calls begun";
    Gauge WORKLOAD_CONNECTIONS = "workload_api.connections" [] "Workload API calls open now";
    Counter SDS_CONNECTION = "sds_api.connection" [] "SDS calls begun";
    Gauge SDS_CONNECTIONS = "sds_api.connections" [] "SDS calls open now";
    Counter DEBUG_CONNECTION = "debug_api.connection" [] "Debug API calls begun";
    Gauge DEBUG_CONNECTIONS = "debug_api.connections" [] "Debug API calls open now";
    Counter LOGGER_CONNECTION = "logger_api.connection" [] "Logger API calls begun";
    Gauge LOGGER_CONNECTIONS = "logger_api.connections" [] "Logger API calls open now";
    Counter DELEGATED_CONNECTION = "delegated_identity_api.connection" [] "Delegated Identity API calls begun";
    Gauge DELEGATED_CONNECTIONS = "delegated_identity_api.connections" [] "Delegated Identity API calls open now";
    Summary DELEGATED_FIRST_UPDATE = "delegated_identity_api.subscribe_x509_svids.first_update" []
        "milliseconds from a subscription to its first message with an SVID";
    Summary DISCOVERED_SELECTORS = "workload_api.discovered_selectors" [] "selectors found for a caller";
    Calls WORKLOAD_ATTESTATION = "workload_api.workload_attestation" [status] "all attestors together";
    Calls WORKLOAD_ATTESTOR = "workload_api.workload_attestor" [attestor status] "one attestor";
    Counter RATE_LIMIT_EXCEEDED = "workload_api.rate_limit_exceeded" [method] "calls refused by experimental.ratelimit";
    Calls STORE_UPDATES = "store.store_svid_updates" [status] "bringing SVID stores up to date";
    Gauge STORE_OPEN = "steeple_agent_svid_store_open" [svid_store] "places in a store that are not as they should be";
    Gauge STARTED = "started" [version trust_domain_id] "1 since the program started";
    Gauge UPTIME_MS = "uptime_in_ms" [] "milliseconds since the start";
}

/// The agent's services with the names that SPIRE counts their calls under.
const APIS: &[(&str, Option<&str>)] = &[
    ("SpiffeWorkloadAPI", Some("workload_api")),
    ("envoy.service.secret.v3.SecretDiscoveryService", Some("sds_api")),
    ("spire.agent.debug.v1.Debug", Some("debug_api")),
    ("spire.api.agent.logger.v1.Logger", Some("logger_api")),
    ("spire.api.agent.delegatedidentity.v1.DelegatedIdentity", Some("delegated_identity_api")),
    ("spiffe.broker.API", None),
    ("grpc.health.v1.Health", None),
];

/// Counts the calls of every method that the agent has.
pub fn call_counts() -> CountCalls {
    let open = |counts: CountCalls, (service, api): &(&str, Option<&'static str>)| match api {
        Some(api) => counts.with_open_calls(service, api),
        None => counts,
    };
    let services: Vec<&str> = APIS.iter().map(|(service, _)| *service).collect();
    APIS.iter().fold(CountCalls::of(methods_of(&services)), open)
}

/// Shows at 0 what has not happened yet.
pub fn declare() {
    let _ = histogram!(PUSH_TO_SVID_SECS);
}

/// A pushed entry has its SVID.
pub fn pushed_svid(waited: Duration) {
    histogram!(PUSH_TO_SVID_SECS).record(waited.as_secs_f64());
}

/// Of the SVIDs held for workloads.
pub fn svid_ages(entries: &[EntryState], now: Timestamp) -> Ages {
    let mut ages = Ages::default();
    for svid in entries.iter().filter(|state| !state.entry.store_svid).filter_map(|state| state.svid.as_ref()) {
        ages.add(now.since(svid.issued_at), svid.not_after.since(svid.issued_at));
    }
    ages
}

/// A sync ended: `known` is what the agent had, `fetched` what it has now.
pub fn synced(known: &BTreeMap<String, Arc<Entry>>, fetched: &[Entry], bundles: usize) {
    let missing = fetched.iter().filter(|entry| !known.contains_key(&entry.id)).count();
    let stale = fetched.iter().filter(|entry| known.get(&entry.id).is_some_and(|old| **old != **entry)).count();
    let dropped = (known.len() + missing).saturating_sub(fetched.len());
    gauge!(SYNC_BUNDLES).set(bundles as f64);
    gauge!(SYNC_ENTRIES).set(fetched.len() as f64);
    differences(missing, stale, dropped);
}

/// A change was pushed that leads to `entries` and `bundles`: so many entries of it were `missing` before, `stale`, or
/// are dropped.
pub fn pushed(entries: usize, bundles: usize, missing: usize, stale: usize, dropped: usize) {
    gauge!(SYNC_BUNDLES).set(bundles as f64);
    gauge!(SYNC_ENTRIES).set(entries as f64);
    counter!(PUSH_CHANGES).increment(1);
    differences(missing, stale, dropped);
}

pub fn push_connected(connected: bool) {
    gauge!(PUSH_CONNECTED).set(f64::from(u8::from(connected)));
}

pub fn push_resync() {
    counter!(PUSH_RESYNCS).increment(1);
}

fn differences(missing: usize, stale: usize, dropped: usize) {
    for (count, now, ever) in
        [(missing, SYNC_MISSING, ENTRY_ADD), (stale, SYNC_STALE, ENTRY_UPDATE), (dropped, SYNC_DROPPED, ENTRY_REMOVE)]
    {
        gauge!(now).set(count as f64);
        counter!(ever).increment(count as u64);
    }
}

/// A sync succeeded at `now`; the next one is due after `interval`.
pub fn sync_succeeded(now: Timestamp, interval: Duration) {
    gauge!(LAST_SYNC_TIMESTAMP_SECS).set(now.as_ms() as f64 / 1000.0);
    gauge!(SYNC_INTERVAL_SECS).set(interval.as_secs_f64());
}

/// Milliseconds while a push stream is open and a server signs; minutes while none does.
const PROPAGATION_BUCKETS: [f64; 12] = [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0];

#[cfg(test)]
mod tests {
    use steeple_telemetry::metric::{Metric, MetricSettings, Metrics, rows};

    use super::*;
    use crate::cache::tests::entry;

    #[test]
    fn the_documentation_lists_them_all() {
        let page = include_str!("../../../docs/metrics.md");
        let (_, agent) = page.split_once("## Agent").unwrap();
        assert_eq!(rows(agent), ALL.iter().map(Metric::documented).collect::<Vec<_>>());
    }

    #[test]
    fn every_method_is_counted() {
        let counts = format!("{:?}", call_counts());
        for method in [
            "/SpiffeWorkloadAPI/FetchX509SVID",
            "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
            "/spire.agent.debug.v1.Debug/GetInfo",
            "/spire.api.agent.logger.v1.Logger/GetLogger",
            "/spire.api.agent.delegatedidentity.v1.DelegatedIdentity/FetchJWTSVIDs",
            "/grpc.health.v1.Health/Check",
        ] {
            assert!(counts.contains(&format!("{method:?}")), "{method}");
        }
    }

    #[test]
    fn a_sync_tells_what_it_changed() {
        let metrics = Metrics::new(&MetricSettings { prefix: "t".into(), ..Default::default() }).unwrap();
        let known = ["gone", "same", "changed"].map(|id| (id.to_owned(), Arc::new(entry(id, &["1"]))));
        let changed = Entry { revision: 1, ..entry("changed", &["1"]) };
        let fetched = [entry("same", &["1"]), changed, entry("new-1", &["1"]), entry("new-2", &["1"])];
        metrics::with_local_recorder(&metrics, || synced(&BTreeMap::from(known), &fetched, 3));
        let text = metrics.render();
        for line in [
            "t_sync_bundles_total 3",
            "t_sync_entries_total 4",
            "t_sync_entries_missing 2",
            "t_lru_cache_entry_add 2",
            "t_sync_entries_stale 1",
            "t_sync_entries_dropped 1",
            "t_lru_cache_entry_remove 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
