//! The faults, each with the scenario that it belongs to.

use super::stage::Stage;
use super::{aimed, bits, clocks, disks, membership, partitions, processes};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    LeaderCutOff,
    FollowerCutOff,
    LeaderUnplugged,
    FollowerUnplugged,
    LeaderDeaf,
    LeaderMute,
    Bridge,
    Flapping,
    Delay,
    Loss,
    LeaderKilled,
    FollowerKilled,
    AllKilled,
    RollingRestart,
    LeaderPaused,
    LeaderPausedWhileSigning,
    LeaderFlooded,
    FollowerPaused,
    SnapshotInstalled,
    FollowerReplaced,
    LeaderReplaced,
    LeaderSyncFails,
    FollowerSyncFails,
    PowerCut,
    LeaderVolumeShutDown,
    LeaderDiskSlow,
    FollowerDiskSlow,
    DiskFull,
    BitFlipped,
    LeaderHourAhead,
    LeaderHourBehind,
    LeaderYearAhead,
    FollowerYearAhead,
}

/// Beside the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// A small file system.
    Volume,
    /// A file system on a disk of its own, by a loop device.
    Disk,
    Namespaces,
}

impl Fault {
    pub(super) const ALL: [Self; 33] = [
        Self::LeaderCutOff,
        Self::FollowerCutOff,
        Self::LeaderUnplugged,
        Self::FollowerUnplugged,
        Self::LeaderDeaf,
        Self::LeaderMute,
        Self::Bridge,
        Self::Flapping,
        Self::Delay,
        Self::Loss,
        Self::LeaderKilled,
        Self::FollowerKilled,
        Self::AllKilled,
        Self::RollingRestart,
        Self::LeaderPaused,
        Self::LeaderPausedWhileSigning,
        Self::LeaderFlooded,
        Self::FollowerPaused,
        Self::SnapshotInstalled,
        Self::FollowerReplaced,
        Self::LeaderReplaced,
        Self::LeaderSyncFails,
        Self::FollowerSyncFails,
        Self::PowerCut,
        Self::LeaderVolumeShutDown,
        Self::LeaderDiskSlow,
        Self::FollowerDiskSlow,
        Self::DiskFull,
        Self::BitFlipped,
        Self::LeaderHourAhead,
        Self::LeaderHourBehind,
        Self::LeaderYearAhead,
        Self::FollowerYearAhead,
    ];

    /// In the history, in reports and on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LeaderCutOff => "leader-cut-off",
            Self::FollowerCutOff => "follower-cut-off",
            Self::LeaderUnplugged => "leader-unplugged",
            Self::FollowerUnplugged => "follower-unplugged",
            Self::LeaderDeaf => "leader-deaf",
            Self::LeaderMute => "leader-mute",
            Self::Bridge => "bridge",
            Self::Flapping => "flapping",
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::LeaderKilled => "leader-killed",
            Self::FollowerKilled => "follower-killed",
            Self::AllKilled => "all-killed",
            Self::RollingRestart => "rolling-restart",
            Self::LeaderPaused => "leader-paused",
            Self::LeaderPausedWhileSigning => "leader-paused-while-signing",
            Self::LeaderFlooded => "leader-flooded",
            Self::FollowerPaused => "follower-paused",
            Self::SnapshotInstalled => "snapshot-installed",
            Self::FollowerReplaced => "follower-replaced",
            Self::LeaderReplaced => "leader-replaced",
            Self::LeaderSyncFails => "leader-sync-fails",
            Self::FollowerSyncFails => "follower-sync-fails",
            Self::PowerCut => "power-cut",
            Self::LeaderVolumeShutDown => "leader-volume-shut-down",
            Self::LeaderDiskSlow => "leader-disk-slow",
            Self::FollowerDiskSlow => "follower-disk-slow",
            Self::DiskFull => "disk-full",
            Self::BitFlipped => "bit-flipped",
            Self::LeaderHourAhead => "leader-hour-ahead",
            Self::LeaderHourBehind => "leader-hour-behind",
            Self::LeaderYearAhead => "leader-year-ahead",
            Self::FollowerYearAhead => "follower-year-ahead",
        }
    }

    pub(super) fn scenario(self) -> &'static str {
        match self {
            Self::LeaderCutOff
            | Self::FollowerCutOff
            | Self::LeaderUnplugged
            | Self::FollowerUnplugged
            | Self::LeaderDeaf
            | Self::LeaderMute
            | Self::Bridge
            | Self::Flapping
            | Self::Delay
            | Self::Loss => "partitions",
            Self::LeaderKilled
            | Self::FollowerKilled
            | Self::AllKilled
            | Self::RollingRestart
            | Self::LeaderPaused
            | Self::LeaderPausedWhileSigning
            | Self::LeaderFlooded
            | Self::FollowerPaused => "processes",
            Self::SnapshotInstalled | Self::FollowerReplaced | Self::LeaderReplaced => "membership",
            Self::LeaderSyncFails
            | Self::FollowerSyncFails
            | Self::PowerCut
            | Self::LeaderVolumeShutDown
            | Self::LeaderDiskSlow
            | Self::FollowerDiskSlow
            | Self::DiskFull
            | Self::BitFlipped => "disks",
            Self::LeaderHourAhead | Self::LeaderHourBehind | Self::LeaderYearAhead | Self::FollowerYearAhead => {
                "clocks"
            }
        }
    }

    /// What only root can have.
    pub(super) fn need(self) -> Option<Need> {
        match self {
            Self::DiskFull => Some(Need::Volume),
            Self::LeaderVolumeShutDown => Some(Need::Disk),
            Self::LeaderUnplugged | Self::FollowerUnplugged => Some(Need::Namespaces),
            _ => None,
        }
    }

    /// Whether a quorum goes on while it lasts, so that writes may not stop for long.
    pub(super) fn leaves_a_quorum(self) -> bool {
        !matches!(self, Self::AllKilled | Self::PowerCut)
    }

    /// Does it, sees that it happened, and undoes what is not undone by [`Stage::settle`]. The text says what was seen.
    pub(super) async fn inflict(self, stage: &mut Stage<'_>) -> anyhow::Result<String> {
        match self {
            Self::LeaderCutOff => partitions::leader_cut_off(stage).await,
            Self::FollowerCutOff => partitions::follower_cut_off(stage).await,
            Self::LeaderUnplugged => partitions::leader_unplugged(stage).await,
            Self::FollowerUnplugged => partitions::follower_unplugged(stage).await,
            Self::LeaderDeaf => partitions::leader_one_way(stage, partitions::Lacks::Hearing).await,
            Self::LeaderMute => partitions::leader_one_way(stage, partitions::Lacks::Speech).await,
            Self::Bridge => partitions::bridge(stage).await,
            Self::Flapping => partitions::flapping(stage).await,
            Self::Delay => partitions::slow(stage, partitions::DELAYED).await,
            Self::Loss => partitions::slow(stage, partitions::LOSSY).await,
            Self::LeaderKilled => processes::leader_killed(stage).await,
            Self::FollowerKilled => processes::follower_killed(stage).await,
            Self::AllKilled => processes::all_killed(stage).await,
            Self::RollingRestart => processes::rolling_restart(stage).await,
            Self::LeaderPaused => processes::leader_paused(stage).await,
            Self::LeaderPausedWhileSigning => aimed::leader_paused_while_signing(stage).await,
            Self::LeaderFlooded => aimed::leader_flooded(stage).await,
            Self::FollowerPaused => processes::follower_paused(stage).await,
            Self::SnapshotInstalled => membership::snapshot_installed(stage).await,
            Self::FollowerReplaced => membership::follower_replaced(stage).await,
            Self::LeaderReplaced => membership::leader_replaced(stage).await,
            Self::LeaderSyncFails => disks::leader_sync_fails(stage).await,
            Self::FollowerSyncFails => disks::follower_sync_fails(stage).await,
            Self::PowerCut => disks::power_cut(stage).await,
            Self::LeaderVolumeShutDown => disks::leader_volume_shut_down(stage).await,
            Self::LeaderDiskSlow => disks::leader_disk_slow(stage).await,
            Self::FollowerDiskSlow => disks::follower_disk_slow(stage).await,
            Self::DiskFull => disks::disk_full(stage).await,
            Self::BitFlipped => bits::bit_flipped(stage).await,
            Self::LeaderHourAhead => clocks::leader_is(stage, clocks::HOUR_AHEAD).await,
            Self::LeaderHourBehind => clocks::leader_is(stage, clocks::HOUR_BEHIND).await,
            Self::LeaderYearAhead => clocks::leader_is(stage, clocks::YEAR_AHEAD).await,
            Self::FollowerYearAhead => clocks::follower_is(stage, clocks::YEAR_AHEAD).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_fault_is_listed_once_under_its_own_name() {
        let faults: BTreeSet<Fault> = Fault::ALL.into_iter().collect();
        let names: BTreeSet<&str> = Fault::ALL.into_iter().map(Fault::name).collect();
        assert_eq!((faults.len(), names.len()), (Fault::ALL.len(), Fault::ALL.len()));
    }
}
