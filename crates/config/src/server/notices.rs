//! Settings of SPIRE's server that are accepted although they no longer matter, and those that are refused by name.

use super::file::{ExperimentalServerFile, ServerFile};
use crate::common::{WIT_SVID, given};
use crate::notice::Notice;
use crate::{ConfigError, GoDuration};

/// Refuses what cannot be honoured; SPIRE's texts where SPIRE refuses it too.
pub(super) fn refuse(experimental: &ExperimentalServerFile) -> Result<(), ConfigError> {
    if given(&experimental.event_timeout).is_some() && given(&experimental.sql_transaction_timeout).is_some() {
        let message = "both experimental sql_transaction_timeout and event_timeout set, only set event_timeout";
        return Err(ConfigError::invalid("experimental.event_timeout", message));
    }
    if given(&experimental.named_pipe_name).is_some() {
        let message = "invalid configuration: named_pipe_name is not supported in this platform; please use \
                       socket_path instead";
        return Err(ConfigError::invalid("experimental.named_pipe_name", message));
    }
    if experimental.auth_opa_policy_engine {
        let instead = "authorization is a fixed table, one row for each RPC; give callers rights with admin_ids and \
                       with the admin and downstream flags of entries, and remove the block";
        return Err(ConfigError::not_supported("server.experimental.auth_opa_policy_engine", instead));
    }
    Ok(())
}

/// Parses the obsolete durations, so that a typo is still refused with SPIRE's text, and remarks on each.
pub(super) fn remark(file: &ServerFile, notices: &mut Vec<Notice>) -> Result<(), ConfigError> {
    if given(&file.max_attested_node_info_staleness).is_some() {
        notices.push(Notice::info(
            "accepted and not used: max_attested_node_info_staleness; every replica holds all agents in memory, and \
             has the leader confirm that it is up to date",
        ));
    }
    let experimental = &file.experimental;
    let obsolete = [
        ("cache_reload_interval", "cache reload interval", &experimental.cache_reload_interval),
        ("full_cache_reload_interval", "full cache reload interval", &experimental.full_cache_reload_interval),
        ("prune_events_older_than", "prune events interval", &experimental.prune_events_older_than),
        ("sql_transaction_timeout", "SQL transaction timeout interval", &experimental.sql_transaction_timeout),
        ("event_timeout", "event timeout interval", &experimental.event_timeout),
    ];
    let mut set = Vec::new();
    for (key, what, value) in obsolete {
        let Some(text) = given(value) else { continue };
        let parsed: Result<GoDuration, _> = text.parse();
        parsed.map_err(|error| ConfigError::invalid(key, format!("could not parse {what}: {error}")))?;
        set.push(key);
    }
    if experimental.events_based_cache {
        set.push("events_based_cache");
    }
    let wit_keys = [("wit_key_type", &experimental.wit_key_type), ("wit_issuer", &experimental.wit_issuer)];
    let given_in_vain = wit_keys.into_iter().filter(|(_, value)| given(value).is_some());
    for (key, _) in given_in_vain.filter(|_| !experimental.feature_flags.iter().any(|flag| flag == WIT_SVID)) {
        notices.push(Notice::info(format!(
            "accepted and not used: experimental {key}; WIT-SVIDs need feature_flags = [{WIT_SVID:?}]"
        )));
    }
    if !set.is_empty() {
        notices.push(Notice::info(format!(
            "accepted and not used: experimental {}; every change reaches caches through the replicated log at once, \
             there is no event table and nothing to reload",
            set.join(", ")
        )));
    }
    Ok(())
}
