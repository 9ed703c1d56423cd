//! What a command is called in front of people. Names only: what it carries may be a secret.

use crate::CommandKind;

impl CommandKind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Noop => "Noop",
            Self::CreateEntries { .. } => "CreateEntries",
            Self::UpdateEntries { .. } => "UpdateEntries",
            Self::DeleteEntries { .. } => "DeleteEntries",
            Self::PruneEntries { .. } => "PruneEntries",
            Self::AttestAgent(_) => "AttestAgent",
            Self::SetPendingSerial { .. } => "SetPendingSerial",
            Self::PromoteSerial { .. } => "PromoteSerial",
            Self::SetAgentVersion { .. } => "SetAgentVersion",
            Self::BanAgent { .. } => "BanAgent",
            Self::DeleteAgent { .. } => "DeleteAgent",
            Self::PruneAgents { .. } => "PruneAgents",
            Self::CreateJoinToken { .. } => "CreateJoinToken",
            Self::PruneJoinTokens { .. } => "PruneJoinTokens",
            Self::AppendBundle { .. } => "AppendBundle",
            Self::PublishJwtAuthority { .. } => "PublishJwtAuthority",
            Self::PruneBundle { .. } => "PruneBundle",
            Self::CreateBundles { .. } => "CreateBundles",
            Self::UpdateBundles { .. } => "UpdateBundles",
            Self::SetBundles { .. } => "SetBundles",
            Self::DeleteBundles { .. } => "DeleteBundles",
            Self::CreateRelationships { .. } => "CreateRelationships",
            Self::UpdateRelationships { .. } => "UpdateRelationships",
            Self::DeleteRelationships { .. } => "DeleteRelationships",
            Self::Import { .. } => "Import",
            Self::PrepareAuthority { .. } => "PrepareAuthority",
            Self::ActivateAuthority { .. } => "ActivateAuthority",
            Self::TaintAuthority { .. } => "TaintAuthority",
            Self::RevokeAuthority { .. } => "RevokeAuthority",
            Self::TaintUpstreamAuthority { .. } => "TaintUpstreamAuthority",
            Self::RevokeUpstreamAuthority { .. } => "RevokeUpstreamAuthority",
            Self::FollowUpstream(_) => "FollowUpstream",
            Self::ResealAuthority { .. } => "ResealAuthority",
            Self::ForgetAuthority { .. } => "ForgetAuthority",
            Self::InitCluster(_) => "InitCluster",
            Self::AllocateMember { .. } => "AllocateMember",
            Self::UpdateMember { .. } => "UpdateMember",
            Self::RemoveMember { .. } => "RemoveMember",
            Self::SetSuffrage { .. } => "SetSuffrage",
            Self::SetVotersTarget { .. } => "SetVotersTarget",
            Self::SetClusterVersion { .. } => "SetClusterVersion",
            Self::SetKeyring { .. } => "SetKeyring",
            Self::SetPeerCa { .. } => "SetPeerCa",
        }
    }
}
