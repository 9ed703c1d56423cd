//! Room on the disk. A volume that is full stops the replica for good (`storage::space`), so a leader refuses in time
//! what makes the state grow, and still takes what shrinks it or keeps running identities alive.

use std::time::Duration;

use steeple_state::CommandKind;
use steeple_storage::{SpaceLevel, Storage};

use super::error::Refusal;
use super::types::NodeId;

/// How often the volume is looked at for the log's reader.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

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

/// Whether a nearly full volume is a reason to refuse the command. Deletions and bans are not refused, nor are the
/// steps by which authorities, agents and members that are there stay alive.
pub(super) fn needs_room(kind: &CommandKind) -> bool {
    match kind {
        CommandKind::CreateEntries { .. }
        | CommandKind::UpdateEntries { .. }
        | CommandKind::AttestAgent(_)
        | CommandKind::SetAgentVersion { .. }
        | CommandKind::CreateJoinToken { .. }
        | CommandKind::AppendBundle { .. }
        | CommandKind::CreateBundles { .. }
        | CommandKind::UpdateBundles { .. }
        | CommandKind::SetBundles { .. }
        | CommandKind::CreateRelationships { .. }
        | CommandKind::UpdateRelationships { .. }
        | CommandKind::AllocateMember { .. } => true,
        CommandKind::Noop
        | CommandKind::DeleteEntries { .. }
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
        | CommandKind::TaintUpstreamAuthority { .. }
        | CommandKind::RevokeUpstreamAuthority { .. }
        | CommandKind::FollowUpstream(_)
        | CommandKind::InitCluster(_)
        | CommandKind::UpdateMember { .. }
        | CommandKind::RemoveMember { .. }
        | CommandKind::SetKeyring { .. }
        | CommandKind::SetPeerCa { .. } => false,
    }
}

/// Tells the log's reader when the volume fills up and when it has room again, on leaders and followers alike.
pub(super) async fn watch(storage: Storage) {
    let mut told = SpaceLevel::Ample;
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    loop {
        looks.tick().await;
        let Ok(space) = storage.space() else { continue };
        let level = space.level();
        if level == told {
            continue;
        }
        told = level;
        let available_mib = space.available_bytes >> 20;
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
