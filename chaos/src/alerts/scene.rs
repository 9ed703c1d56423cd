//! Which fault has to bring which alerts.

use anyhow::Context as _;

use super::act;
use super::board::Board;
use super::place::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AllDown,
    EndpointGone,
    FollowerCutOff,
    FullAudit,
    FullDisk,
    FullLeader,
    LargeBatches,
    LateNode,
    LeaderMoves,
    LostEntry,
    Neglected,
    OneDown,
    SecondCluster,
    SlowDisk,
    Storm,
    TimeRanAhead,
    TwoDown,
}

pub(super) struct Scene {
    pub(super) kind: Kind,
    pub(super) fault: &'static str,
    pub(super) alerts: &'static [&'static str],
}

/// In this order: what needs the clocks of all comes late, and the endpoint has been gone for minutes at the end.
pub(super) const SCENES: [Scene; 17] = [
    Scene {
        kind: Kind::LeaderMoves,
        fault: "leadership is handed over every second",
        alerts: &["SteepleLeaderFlapping"],
    },
    Scene {
        kind: Kind::SlowDisk,
        fault: "each sync of a follower takes 1.5 s",
        alerts: &["SteepleSlowFsync", "SteepleSlowFsyncCritical"],
    },
    Scene { kind: Kind::FullDisk, fault: "a data volume is filled to 87 %", alerts: &["SteepleDiskFilling"] },
    Scene {
        kind: Kind::FullLeader,
        fault: "the others start without their sealing key, and the leader's volume is filled to 93 %",
        alerts: &["SteepleSealed", "SteepleProposalFailures"],
    },
    Scene { kind: Kind::FullAudit, fault: "the volume of an audit file is full", alerts: &["SteepleAuditFailing"] },
    Scene {
        kind: Kind::Storm,
        fault: "forty attestations without content at once, again and again",
        alerts: &["SteepleAttestationFailureRatio", "SteepleAttestationFailureRatioCritical", "SteepleRateLimiting"],
    },
    Scene {
        kind: Kind::LargeBatches,
        fault: "a node asks for 2,500 SVIDs in each call",
        alerts: &["SteepleSigningSlow"],
    },
    Scene {
        kind: Kind::LateNode,
        fault: "a node acknowledges what is pushed to it after 40 s",
        alerts: &["SteepleEntryPropagationSlow"],
    },
    Scene {
        kind: Kind::SecondCluster,
        fault: "another cluster is scraped under the same labels",
        alerts: &["SteepleMultipleClusterIDs"],
    },
    Scene {
        kind: Kind::FollowerCutOff,
        fault: "a follower is cut off while entries are written",
        alerts: &["SteepleFollowerLagging"],
    },
    Scene { kind: Kind::LostEntry, fault: "a row is gone from a follower's store", alerts: &["SteepleStateDiverged"] },
    Scene {
        kind: Kind::Neglected,
        fault: "a root on disk has 20 days left, then ends; the directory of the backups is gone for half an hour",
        alerts: &["SteepleUpstreamRootExpiring", "SteepleBackupTooOld", "SteepleUpstreamAuthorityFailing"],
    },
    Scene {
        kind: Kind::TimeRanAhead,
        fault: "the clocks of all replicas are ten minutes ahead, then right",
        alerts: &["SteepleTimeRanAhead"],
    },
    Scene {
        kind: Kind::OneDown,
        fault: "a follower is killed",
        alerts: &["SteepleMembersDown", "SteepleQuorumAtRisk"],
    },
    Scene {
        kind: Kind::TwoDown,
        fault: "both followers are killed, and hours pass for the one that is left",
        alerts: &[
            "SteepleNoLeader",
            "SteepleApplyStalled",
            "SteepleSigningErrors",
            "SteepleAgentSyncStale",
            "SteepleAgentsExpiringUnrenewed",
            "SteepleCAActivationOverdue",
            "SteepleCAExpiryCritical",
            "SteepleCANextNotPrepared",
            "SteepleJWTKeyActivationOverdue",
        ],
    },
    Scene { kind: Kind::AllDown, fault: "all replicas are killed", alerts: &["SteepleCAMetricAbsent"] },
    Scene {
        kind: Kind::EndpointGone,
        fault: "a bundle endpoint goes away, and a day passes for who polls it",
        alerts: &["SteepleFederatedBundleStale", "SteepleFederatedBundleExpired"],
    },
];

/// Alerts that nothing here brings about, each with its reason.
pub(super) const LEFT_OUT: [(&str, &str); 0] = [];

/// What lasts when its fault is undone: the old root stays in the bundle as long as a CA under it.
const LASTING: [&str; 1] = ["SteepleUpstreamRootExpiring"];

impl Scene {
    /// The fault, until all its alerts fire; then it is undone.
    pub(super) async fn play(&self, place: &mut Place, board: &mut Board) -> anyhow::Result<()> {
        if self.kind != Kind::EndpointGone {
            board.calm(self.alerts).await;
        }
        let undone = act::bring(self, place, board).await;
        // Also of what failed halfway.
        let healed = place.heal().await.context("undoing it");
        let undone = undone?;
        healed?;
        let passing: Vec<&str> = self.alerts.iter().copied().filter(|alert| !LASTING.contains(alert)).collect();
        board.resolved(undone, &passing).await;
        Ok(())
    }
}
