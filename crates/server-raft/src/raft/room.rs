//! Room on the disk. A volume that is full stops the replica for good (`storage::space`), so a leader refuses in time
//! what makes the state grow, and still takes what shrinks it or keeps running identities alive. It then lets another
//! replica lead whose disk has room, if there is one.

use std::sync::Arc;
use std::time::Duration;

use steeple_state::CommandKind;
use steeple_storage::{SpaceLevel, Storage};

use super::admin;
use super::consensus::Consensus;
use super::error::Refusal;
use super::types::NodeId;

/// How often the volume is looked at when no write was refused.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The pause after an attempt to hand over: refusals may come by the thousand.
const HAND_OVER_PAUSE: Duration = Duration::from_secs(1);

/// Refuses for the leader `node_id` when little is left: measured for each entry, which costs one system call.
pub(super) fn check(storage: &Storage, node_id: NodeId) -> Result<(), Refusal> {
    match storage.space() {
        Ok(space) if space.level() == SpaceLevel::Critical => {
            Err(Refusal::NoSpace { node_id, available_bytes: space.available_bytes })
        }
        // A volume that cannot be measured is told of when it fails.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether a leader here would refuse writes.
pub(super) fn is_nearly_full(storage: &Storage) -> bool {
    storage.space().is_ok_and(|space| space.level() == SpaceLevel::Critical)
}

/// Whether a nearly full volume is a reason to refuse the command. Deletions and bans are not refused, nor are the
/// steps by which authorities, agents and members that are there stay alive.
pub(super) fn needs_room(kind: &CommandKind) -> bool {
    match kind {
        CommandKind::CreateEntries { .. }
        | CommandKind::UpdateEntries { .. }
        | CommandKind::UpdateJudgedEntries { .. }
        | CommandKind::AttestAgent(_)
        | CommandKind::SetAgentVersion { .. }
        | CommandKind::CreateJoinToken { .. }
        | CommandKind::AppendBundle { .. }
        | CommandKind::CreateBundles { .. }
        | CommandKind::Import { .. }
        | CommandKind::UpdateBundles { .. }
        | CommandKind::SetBundles { .. }
        | CommandKind::CreateRelationships { .. }
        | CommandKind::UpdateRelationships { .. }
        | CommandKind::AllocateMember { .. } => true,
        CommandKind::Noop
        | CommandKind::DeleteEntries { .. }
        | CommandKind::DeleteJudgedEntries { .. }
        | CommandKind::PruneEntries { .. }
        | CommandKind::SetPendingSerial { .. }
        | CommandKind::PromoteSerial { .. }
        | CommandKind::BanAgent { .. }
        | CommandKind::DeleteAgent { .. }
        | CommandKind::PruneAgents { .. }
        | CommandKind::PruneJoinTokens { .. }
        | CommandKind::PublishJwtAuthority { .. }
        | CommandKind::PruneBundle { .. }
        | CommandKind::DeleteBundles { .. }
        | CommandKind::DeleteRelationships { .. }
        | CommandKind::PrepareAuthority { .. }
        | CommandKind::ActivateAuthority { .. }
        | CommandKind::TaintAuthority { .. }
        | CommandKind::RevokeAuthority { .. }
        | CommandKind::ForgetAuthority { .. }
        | CommandKind::ResealAuthority { .. }
        | CommandKind::TaintUpstreamAuthority { .. }
        | CommandKind::RevokeUpstreamAuthority { .. }
        | CommandKind::FollowUpstream(_)
        | CommandKind::SetAuditAnchor { .. }
        | CommandKind::SetAcmeAccount { .. }
        | CommandKind::SetAcmeChallenge { .. }
        | CommandKind::SetWebCertificate { .. }
        | CommandKind::ResealWebKey { .. }
        | CommandKind::ResetClock
        | CommandKind::InitCluster(_)
        | CommandKind::UpdateMember { .. }
        | CommandKind::RemoveMember { .. }
        | CommandKind::SetSuffrage { .. }
        | CommandKind::SetVotersTarget { .. }
        | CommandKind::SetClusterVersion { .. }
        | CommandKind::SetKeyring { .. }
        | CommandKind::ReplaceSealingKey { .. }
        | CommandKind::SetPeerCa { .. } => false,
    }
}

/// Tells the log's reader when the volume fills up and when it has room again, on leaders and followers alike; a
/// leader hands over.
pub(super) async fn watch(storage: Storage, consensus: Arc<Consensus>) {
    let mut told = SpaceLevel::Ample;
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = consensus.out_of_room.notified() => {}
        }
        let Ok(space) = storage.space() else { continue };
        let level = space.level();
        if level != told {
            tell(level, space.available_bytes >> 20);
            told = level;
        }
        if level == SpaceLevel::Critical && consensus.leadership_now().is_leader {
            admin::leave_to(&consensus, |disk| disk.has_room, "the data volume is nearly full").await;
            tokio::time::sleep(HAND_OVER_PAUSE).await;
        }
    }
}

fn tell(level: SpaceLevel, available_mib: u64) {
    match level {
        SpaceLevel::Ample => tracing::info!(available_mib, "the data volume has room again"),
        SpaceLevel::Low => tracing::warn!(available_mib, "the data volume fills up: free space or grow it"),
        SpaceLevel::Critical => {
            tracing::error!(
                available_mib,
                "the data volume is nearly full: while this server leads, only deletions are taken; free space or \
                 grow it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shrinks_the_state_is_never_refused() {
        assert!(needs_room(&CommandKind::CreateEntries { entries: Vec::new() }));
        assert!(!needs_room(&CommandKind::DeleteEntries { ids: Vec::new() }));
        assert!(!needs_room(&CommandKind::RemoveMember { node_id: 1 }));
    }
}
