//! Every metric of the server, in one place (`docs/metrics.md`). SPIRE's names come under the prefix `spire_server`;
//! those that begin with `steeple_` are ours and keep that name under every configured prefix, so that alerts can rely
//! on it.
//!
//! ```text
//!   names      the table that the documentation must match
//!   recorded   counters, where something happens; signing and snapshots beside it
//!   observed   gauges, computed when a scrape asks; agents are one pass over the records
//! ```

mod agents;
mod names;
mod observed;
mod recorded;
mod signing;
mod snapshots;

pub use names::*;
pub use observed::{AgentAges, Observed, observe_expiry, wal_syncs};
pub use recorded::{
    acme_order, activated, activated_without, activation_waits, attestation_shed, audit_broken, audit_failed,
    audit_failing, audit_written, backup_failed, backup_known, backup_taken, bundle_published, bundle_publisher_rests,
    declare, federated_bundle_updated, leader_changed, preparation, propagated, proposed, push_agents, push_change,
    push_resync, raft_woke_late,
};
pub use signing::{BUSY, REFUSALS, SigningBatch, signing_forwarded, signing_given_up};
pub use snapshots::SnapshotTimer;

#[cfg(test)]
mod tests {
    use steeple_telemetry::metric::{Metric, rows};

    use super::*;

    #[test]
    fn the_documentation_lists_them_all() {
        let page = include_str!("../../../../docs/metrics.md");
        let (_, server) = page.split_once("## Server").unwrap();
        let (server, _) = server.split_once("## Agent").unwrap();
        assert_eq!(rows(server), ALL.iter().map(Metric::documented).collect::<Vec<_>>());
    }

    #[test]
    fn the_documentation_lists_why_signatures_are_refused() {
        let page = include_str!("../../../../docs/metrics.md");
        let (_, reasons) = page.split_once("Signatures are refused for these reasons.").unwrap();
        for reason in REFUSALS {
            assert!(reasons.contains(&format!("`{reason}`")), "{reason}");
        }
    }
}
