//! Timing and bounds of the consensus, and their translation to openraft.

use std::time::Duration;

use openraft::SnapshotPolicy;

use super::error::StartError;

/// How fast a cluster notices that its leader is gone, and what else it does by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub heartbeat: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
    /// A member that did not answer the leader for so long may be replaced by a new one of the same name.
    pub silent_after: Duration,
    /// A learner has to be healthy for so long before it votes.
    pub promote_after: Duration,
    /// Replicas compare their states so often, and when a member comes back.
    pub state_check_every: Duration,
    /// The peers' certificate authority is replaced at this age.
    pub peer_ca_rotate_after: Duration,
    /// How long each phase of that lasts at least: members renew their certificates within it.
    pub peer_ca_settle: Duration,
}

/// When the leader takes members off the list that do not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanUp {
    /// Silent for so long.
    pub after: Duration,
    /// Never so that fewer voters are left.
    pub voters_min: usize,
}

/// Bounds of the write path, each with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Commands waiting for the proposer. Beyond it callers get `ResourceExhausted` instead of a longer wait.
    pub queue_max: usize,
    /// Commands in one entry: bounds the time one apply batch holds the state's lock.
    pub entry_commands_max: usize,
    /// Bytes of commands that are packed into one entry, for the same reason. A single larger command has an entry for
    /// itself, up to `COMMANDS_BYTES_MAX` of the state (8 MiB).
    pub entry_bytes_max: usize,
    /// Entries proposed and not yet applied: enough to keep the disk and a peer busy, few enough to pack well.
    pub entries_in_flight_max: usize,
    /// Entries between two snapshots.
    pub snapshot_entries: u64,
    /// Entries kept below the latest snapshot, so that a short absence does not need a snapshot.
    pub log_keep_entries: u64,
}

impl Default for Timing {
    /// For replicas in one network: an election is over within about a second and a half of the leader's death.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(700),
            silent_after: Duration::from_secs(10),
            promote_after: Duration::from_secs(10),
            state_check_every: Duration::from_secs(60),
            peer_ca_rotate_after: Duration::from_secs(30 * 24 * 3600),
            peer_ca_settle: Duration::from_secs(600),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_max: 4096,
            entry_commands_max: 256,
            entry_bytes_max: 1024 * 1024,
            entries_in_flight_max: 2,
            snapshot_entries: 10_000,
            log_keep_entries: 10_000,
        }
    }
}

impl Limits {
    /// Whoever wants small snapshots often does not want a long log between them.
    pub fn with_snapshots_every(snapshot_entries: u64) -> Self {
        let default = Self::default();
        Self { snapshot_entries, log_keep_entries: default.log_keep_entries.min(snapshot_entries), ..default }
    }
}

/// Installing a snapshot of a large trust domain takes seconds; openraft's default of 200 ms would never finish.
const INSTALL_SNAPSHOT_TIMEOUT_MS: u64 = 60_000;
/// Entries in one AppendEntries. The log reader stops earlier by bytes, so that the message fits the peer port.
const PAYLOAD_ENTRIES_MAX: u64 = 64;
/// Slots of openraft's internal channels. Proposals are bounded far lower by `Limits`; this bounds peers' messages.
const CHANNEL_SLOTS: u64 = 1024;

impl Timing {
    /// openraft's configuration for these timings: the guard rails of docs/adr/0001-openraft-line.md.
    pub(super) fn openraft(&self, limits: &Limits) -> Result<openraft::Config, StartError> {
        let election_min = millis(self.election_min);
        let election_max = millis(self.election_max);
        openraft::Config {
            cluster_name: "steeple".to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: election_min,
            election_timeout_max: election_max,
            install_snapshot_timeout: INSTALL_SNAPSHOT_TIMEOUT_MS,
            max_payload_entries: PAYLOAD_ENTRIES_MAX,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(limits.snapshot_entries),
            max_in_snapshot_log_to_keep: limits.log_keep_entries,
            // Purging leaves range tombstones; large steps leave few of them.
            purge_batch_size: 1000.min(limits.log_keep_entries.max(1)),
            replication_lag_threshold: limits.snapshot_entries + limits.log_keep_entries,
            api_channel_size: Some(CHANNEL_SLOTS),
            notification_channel_size: Some(CHANNEL_SLOTS * 4),
            state_machine_channel_size: Some(CHANNEL_SLOTS),
            // A follower that cannot win does not disturb a leader that works.
            enable_pre_vote: Some(true),
            // A restarted leader campaigns like everybody else: it has no proof that it was not replaced.
            enable_leader_restore: Some(false),
            // A log that went backwards is a lost disk; such a node must rejoin under a new id.
            allow_log_reversion: None,
            // Lets a connected majority elect although the old leader still reaches a bridge voter. The lease equals
            // the longest election timeout.
            quorum_loss_probe_interval: Some(2 * election_max),
            // A peer that refuses connections is retried at heartbeat pace, soon enough to catch up after a restart.
            backoff: "50ms 100ms 200ms ...500ms".to_owned(),
            ..openraft::Config::default()
        }
        .validate()
        .map_err(|error| StartError::Config(error.to_string()))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guard_rails_are_on() {
        let config = Timing::default().openraft(&Limits::default()).expect("the defaults are valid");
        assert_eq!(config.enable_pre_vote, Some(true));
        assert_eq!(config.enable_leader_restore, Some(false));
        assert_eq!(config.allow_log_reversion, None);
        assert_eq!(config.quorum_loss_probe_interval, Some(1400));
        assert!(config.install_snapshot_timeout >= 60_000);
    }

    #[test]
    fn a_log_is_kept_for_as_long_as_a_snapshot_takes() {
        let kept = |entries| Limits::with_snapshots_every(entries).log_keep_entries;
        assert_eq!([kept(100), kept(20_000)], [100, 10_000]);
    }

    #[test]
    fn an_election_shorter_than_a_heartbeat_is_refused() {
        let timing = Timing { election_min: Duration::from_millis(50), ..Timing::default() };
        assert!(matches!(timing.openraft(&Limits::default()), Err(StartError::Config(_))));
    }
}
