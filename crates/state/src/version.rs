//! The cluster version: which commands may stand in the log.
//!
//! Replicas of two releases run side by side while a cluster is upgraded, and a command that one of them does not know
//! stops its apply. So a release writes what the release before it does not know only after an operator raised the
//! version, once every member knows it. It never falls: what was written stays in the log.

use steeple_core::AuthorityKind;

use crate::CommandKind;

/// What every cluster can do, and the version of one that never was raised.
pub const CLUSTER_VERSION_FIRST: u32 = 1;
/// The highest that this program can take part in.
pub const CLUSTER_VERSION_MAX: u32 = 8;
/// From which on there are authorities for WIT-SVIDs.
pub const CLUSTER_VERSION_WIT: u32 = 3;
/// From which on agents that attest for the first time get a record number.
pub const CLUSTER_VERSION_AGENT_NUMBERS: u32 = 4;
/// From which on a join token is over with the first fraction of a second after its expiry.
pub const CLUSTER_VERSION_TOKEN_FRACTIONS: u32 = 4;
/// From which on a renewal says which one it replaces.
pub const CLUSTER_VERSION_RENEWAL: u32 = 4;
/// From which on the sealing key can be replaced while the cluster runs.
pub const CLUSTER_VERSION_NEW_SEALING_KEY: u32 = 5;
/// From which on the heads of audit chains are kept.
pub const CLUSTER_VERSION_AUDIT_ANCHORS: u32 = 6;
/// From which on a key that is appended to the bundle once more is held until the later of both ends.
pub const CLUSTER_VERSION_LATER_EXPIRY: u32 = 6;
/// From which on the replicated clock can be reset.
pub const CLUSTER_VERSION_RESET_CLOCK: u32 = 7;
/// From which on join tokens are written as digests.
pub const CLUSTER_VERSION_TOKEN_DIGESTS: u32 = 8;
/// The form of a keyring, its first byte, that every release can read.
const KEYRING_FORM_FIRST: u8 = 1;

impl CommandKind {
    /// The cluster version from which on this may be proposed.
    pub fn needs_version(&self) -> u32 {
        match self {
            Self::SetSuffrage { .. } | Self::SetVotersTarget { .. } => 2,
            Self::UpdateJudgedEntries { .. }
            | Self::DeleteJudgedEntries { .. }
            | Self::SetAcmeAccount { .. }
            | Self::SetAcmeChallenge { .. }
            | Self::SetWebCertificate { .. }
            | Self::ResealWebKey { .. } => 3,
            Self::SetAuditAnchor { .. } => CLUSTER_VERSION_AUDIT_ANCHORS,
            Self::ResetClock => CLUSTER_VERSION_RESET_CLOCK,
            Self::SetPendingSerial { replaces: Some(_), .. } => CLUSTER_VERSION_RENEWAL,
            Self::ReplaceSealingKey { .. } => CLUSTER_VERSION_NEW_SEALING_KEY,
            // Every release applies it, and those before cannot open what it holds.
            Self::SetKeyring { content, .. } if content.first().is_some_and(|form| *form > KEYRING_FORM_FIRST) => {
                CLUSTER_VERSION_NEW_SEALING_KEY
            }
            kind if kind.concerns_wit() => CLUSTER_VERSION_WIT,
            // Who raises it knows that all members can follow.
            _ => CLUSTER_VERSION_FIRST,
        }
    }

    /// Whether it makes or changes an authority for WIT-SVIDs.
    fn concerns_wit(&self) -> bool {
        match self {
            Self::PrepareAuthority { authority, .. } => authority.kind == AuthorityKind::Wit,
            Self::ActivateAuthority { kind, .. }
            | Self::TaintAuthority { kind, .. }
            | Self::RevokeAuthority { kind, .. }
            | Self::ResealAuthority { kind, .. }
            | Self::ForgetAuthority { kind, .. } => *kind == AuthorityKind::Wit,
            _ => false,
        }
    }
}
