//! Every metric of the server, in one place (`docs/metrics.md`). SPIRE's names come under the prefix `spire_server`;
//! those that begin with `steeple_` are ours and keep that name under every configured prefix, so that alerts can rely
//! on it.
//!
//! ```text
//!   names      constants, and the list that the documentation must match
//!   recorded   counters, where something happens
//!   observed   gauges, computed when a scrape asks
//! ```

mod names;
mod observed;
mod recorded;

pub use names::*;
pub use observed::{Observed, observe_expiry, wal_syncs};
pub use recorded::{
    acme_order, activated, activated_without, activation_waits, audit_broken, audit_failed, audit_failing,
    audit_written, backup_failed, backup_known, backup_taken, bundle_published, bundle_publisher_rests, declare,
    federated_bundle_updated, leader_changed, preparation, proposed, push_agents, push_change, push_resync, signed,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_them_all() {
        let page = include_str!("../../../../docs/metrics.md");
        let (_, server) = page.split_once("## Server").unwrap();
        let (server, _) = server.split_once("## Agent").unwrap();
        let documented: std::collections::BTreeSet<String> = server
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
            .collect();
        assert_eq!(documented, ALL.iter().map(|name| name.replace('.', "_")).collect());
    }
}
