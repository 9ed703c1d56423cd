//! Every metric of the agent, in one place (`docs/metrics.md`). Names are SPIRE's, under the prefix `spire_agent`;
//! those that begin with `steeple_` are ours and keep that name under every configured prefix.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use steeple_api::methods_of;
use steeple_core::{Entry, Timestamp};
use steeple_telemetry::metric::CountCalls;

/// SVIDs held for workloads; label `svid_type`.
pub const SVIDS: &str = "lru_cache_svid_map_size";
/// Entries that the agent may serve; label `svid_type`.
pub const ENTRIES: &str = "lru_cache_record_map_size";
pub const ENTRY_ADD: &str = "lru_cache_entry_add";
pub const ENTRY_UPDATE: &str = "lru_cache_entry_update";
pub const ENTRY_REMOVE: &str = "lru_cache_entry_remove";
pub const JWT_SVIDS: &str = "jwt_svid_cache_size";
/// A call counter: a sync, entries and bundles.
pub const FETCH_ENTRIES: &str = "manager.sync.fetch_entries_updates";
/// A call counter: minting whatever a sync or the clock made due.
pub const FETCH_SVIDS: &str = "manager.sync.fetch_svids_updates";
/// What the last sync brought.
pub const SYNC_BUNDLES: &str = "sync_bundles_total";
pub const SYNC_ENTRIES: &str = "sync_entries_total";
/// Entries that were new to the agent.
pub const SYNC_MISSING: &str = "sync_entries_missing";
/// Entries that had changed.
pub const SYNC_STALE: &str = "sync_entries_stale";
/// Entries that were gone.
pub const SYNC_DROPPED: &str = "sync_entries_dropped";
/// Unix seconds of the last sync that succeeded.
pub const LAST_SYNC_TIMESTAMP_SECS: &str = "steeple_agent_last_sync_timestamp_seconds";
/// `sync_interval`.
pub const SYNC_INTERVAL_SECS: &str = "steeple_agent_sync_interval_seconds";
/// 1 while a push stream keeps the agent current.
pub const PUSH_CONNECTED: &str = "steeple_agent_push_connected";
/// Changes that came on push streams.
pub const PUSH_CHANGES: &str = "steeple_agent_push_changes_total";
/// Changes that did not lead to the set that the server meant.
pub const PUSH_RESYNCS: &str = "steeple_agent_push_resyncs_total";
/// A call counter.
pub const GENERATE_KEY: &str = "agent_key_manager.generate_key";
/// A call counter.
pub const GET_KEYS: &str = "agent_key_manager.get_keys";
/// A call counter; label `attestor`.
pub const NEW_SVID: &str = "node.attestor.new_svid";
/// 1 once the agent has an SVID.
pub const BOOTSTRAPPED: &str = "bootstrapped";
/// Seconds that the last way to an SVID took; label `mode`.
pub const BOOTSTRAP_SECS: &str = "bootstrap_seconds";
/// Attempts that it took; label `mode`.
pub const BOOTSTRAP_ATTEMPTS: &str = "bootstrap_attempts";
/// Calls begun.
pub const WORKLOAD_CONNECTION: &str = "workload_api.connection";
/// Calls open now.
pub const WORKLOAD_CONNECTIONS: &str = "workload_api.connections";
pub const SDS_CONNECTION: &str = "sds_api.connection";
pub const SDS_CONNECTIONS: &str = "sds_api.connections";
pub const DEBUG_CONNECTION: &str = "debug_api.connection";
pub const DEBUG_CONNECTIONS: &str = "debug_api.connections";
pub const LOGGER_CONNECTION: &str = "logger_api.connection";
pub const LOGGER_CONNECTIONS: &str = "logger_api.connections";
pub const DELEGATED_CONNECTION: &str = "delegated_identity_api.connection";
pub const DELEGATED_CONNECTIONS: &str = "delegated_identity_api.connections";
/// A summary, in milliseconds.
pub const DELEGATED_FIRST_UPDATE: &str = "delegated_identity_api.subscribe_x509_svids.first_update";
/// A summary: selectors found for a caller.
pub const DISCOVERED_SELECTORS: &str = "workload_api.discovered_selectors";
/// A call counter: all attestors together.
pub const WORKLOAD_ATTESTATION: &str = "workload_api.workload_attestation";
/// A call counter; label `attestor`.
pub const WORKLOAD_ATTESTOR: &str = "workload_api.workload_attestor";
/// Calls refused by `experimental.ratelimit`; label `method`.
pub const RATE_LIMIT_EXCEEDED: &str = "workload_api.rate_limit_exceeded";
/// A call counter: bringing the stores up to date.
pub const STORE_UPDATES: &str = "store.store_svid_updates";
/// Places in a store that are not as they should be; label `svid_store`.
pub const STORE_OPEN: &str = "steeple_agent_svid_store_open";
/// 1 while the agent runs; labels `version` and `trust_domain_id`.
pub const STARTED: &str = "started";
pub const UPTIME_MS: &str = "uptime_in_ms";

/// The table of `docs/metrics.md`.
pub const ALL: &[&str] = &[
    SVIDS,
    ENTRIES,
    ENTRY_ADD,
    ENTRY_UPDATE,
    ENTRY_REMOVE,
    JWT_SVIDS,
    FETCH_ENTRIES,
    FETCH_SVIDS,
    SYNC_BUNDLES,
    SYNC_ENTRIES,
    SYNC_MISSING,
    SYNC_STALE,
    SYNC_DROPPED,
    LAST_SYNC_TIMESTAMP_SECS,
    SYNC_INTERVAL_SECS,
    PUSH_CONNECTED,
    PUSH_CHANGES,
    PUSH_RESYNCS,
    GENERATE_KEY,
    GET_KEYS,
    NEW_SVID,
    BOOTSTRAPPED,
    BOOTSTRAP_SECS,
    BOOTSTRAP_ATTEMPTS,
    WORKLOAD_CONNECTION,
    WORKLOAD_CONNECTIONS,
    SDS_CONNECTION,
    SDS_CONNECTIONS,
    DEBUG_CONNECTION,
    DEBUG_CONNECTIONS,
    LOGGER_CONNECTION,
    LOGGER_CONNECTIONS,
    DELEGATED_CONNECTION,
    DELEGATED_CONNECTIONS,
    DELEGATED_FIRST_UPDATE,
    DISCOVERED_SELECTORS,
    WORKLOAD_ATTESTATION,
    WORKLOAD_ATTESTOR,
    RATE_LIMIT_EXCEEDED,
    STORE_UPDATES,
    STORE_OPEN,
    STARTED,
    UPTIME_MS,
];

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

#[cfg(test)]
mod tests {
    use steeple_telemetry::metric::{MetricSettings, Metrics};

    use super::*;
    use crate::cache::tests::entry;

    #[test]
    fn the_documentation_lists_them_all() {
        let page = include_str!("../../../docs/metrics.md");
        let (_, agent) = page.split_once("## Agent").unwrap();
        let documented: std::collections::BTreeSet<String> = agent
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
            .collect();
        assert_eq!(documented, ALL.iter().map(|name| name.replace('.', "_")).collect());
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
