//! What the kinds of commands carry.

use super::noun::{Agent, Authority, Bundle, Entry, JoinToken, JwtAuthority, MemberFacts, Relationship};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Names {
    #[prost(string, repeated, tag = "1")]
    pub(super) names: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EntryUpdates {
    #[prost(message, repeated, tag = "1")]
    pub(super) updates: Vec<EntryUpdate>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EntryUpdate {
    #[prost(message, optional, tag = "1")]
    pub(super) entry: Option<Entry>,
    #[prost(uint32, tag = "2")]
    pub(super) mask: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct JudgedUpdates {
    #[prost(message, repeated, tag = "1")]
    pub(super) updates: Vec<JudgedUpdate>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct JudgedUpdate {
    #[prost(message, optional, tag = "1")]
    pub(super) update: Option<EntryUpdate>,
    #[prost(message, optional, tag = "2")]
    pub(super) judged: Option<Entry>,
}

/// Its `Debug` must not show the token, which is a credential.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct Attestation {
    #[prost(message, optional, tag = "1")]
    pub(super) agent: Option<Agent>,
    #[prost(string, optional, tag = "2")]
    pub(super) join_token: Option<String>,
    #[prost(bool, tag = "3")]
    pub(super) first_use: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PendingSerial {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) serial: String,
    #[prost(sint64, tag = "3")]
    pub(super) not_after: i64,
    #[prost(string, optional, tag = "4")]
    pub(super) replaces: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AgentText {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PruneAgents {
    #[prost(sint64, tag = "1")]
    pub(super) expired_before: i64,
    #[prost(bool, tag = "2")]
    pub(super) include_tofu: bool,
    #[prost(uint32, tag = "3")]
    pub(super) items_max: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CreateJoinToken {
    #[prost(message, optional, tag = "1")]
    pub(super) token: Option<JoinToken>,
    #[prost(message, optional, tag = "2")]
    pub(super) alias: Option<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AppendBundle {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) x509_authorities: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    pub(super) jwt_authorities: Vec<JwtAuthority>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PruneBundle {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) x509_authorities: Vec<Vec<u8>>,
    #[prost(sint64, tag = "2")]
    pub(super) jwt_expired_before: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Bundles {
    #[prost(message, repeated, tag = "1")]
    pub(super) bundles: Vec<Bundle>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BundleUpdates {
    #[prost(message, repeated, tag = "1")]
    pub(super) updates: Vec<BundleUpdate>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BundleUpdate {
    #[prost(message, optional, tag = "1")]
    pub(super) bundle: Option<Bundle>,
    #[prost(uint32, tag = "2")]
    pub(super) mask: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DeleteBundles {
    #[prost(string, repeated, tag = "1")]
    pub(super) trust_domains: Vec<String>,
    #[prost(uint32, tag = "2")]
    pub(super) mode: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RelationshipDrafts {
    #[prost(message, repeated, tag = "1")]
    pub(super) drafts: Vec<RelationshipDraft>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RelationshipDraft {
    #[prost(message, optional, tag = "1")]
    pub(super) relationship: Option<Relationship>,
    #[prost(message, optional, tag = "2")]
    pub(super) bundle: Option<Bundle>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RelationshipUpdates {
    #[prost(message, repeated, tag = "1")]
    pub(super) updates: Vec<RelationshipUpdate>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RelationshipUpdate {
    #[prost(message, optional, tag = "1")]
    pub(super) draft: Option<RelationshipDraft>,
    #[prost(uint32, tag = "2")]
    pub(super) mask: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PrepareAuthority {
    #[prost(message, optional, tag = "1")]
    pub(super) authority: Option<Authority>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) upstream_roots: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AuthorityName {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(string, tag = "2")]
    pub(super) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResealAuthority {
    #[prost(message, optional, tag = "1")]
    pub(super) name: Option<AuthorityName>,
    #[prost(uint64, tag = "2")]
    pub(super) keyring_term: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) ciphertext: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(super) expected_term: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UpstreamRoots {
    #[prost(string, tag = "1")]
    pub(super) subject_key_id: String,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) roots: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UpstreamChanges {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) append: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) taint: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(super) revoke: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    pub(super) jwt_authorities: Vec<JwtAuthority>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ClusterInit {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) cluster_uuid: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) trust_domain: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) keyring: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) peer_ca: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub(super) first: Option<MemberFacts>,
    /// Absent in the first version.
    #[prost(uint32, optional, tag = "6")]
    pub(super) version: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SetSuffrage {
    #[prost(uint64, tag = "1")]
    pub(super) node_id: u64,
    #[prost(uint32, tag = "2")]
    pub(super) suffrage: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UpdateMember {
    #[prost(uint64, tag = "1")]
    pub(super) node_id: u64,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) peer_address: String,
    #[prost(string, tag = "4")]
    pub(super) api_address: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SetSealed {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) content: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(super) expected_revision: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReplaceSealingKey {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) content: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(super) expected_revision: u64,
    #[prost(uint64, repeated, tag = "3")]
    pub(super) held_by: Vec<u64>,
}

impl std::fmt::Debug for Attestation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attestation({:?}, first_use {})", self.agent, self.first_use)
    }
}
