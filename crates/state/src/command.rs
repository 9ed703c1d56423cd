//! What can change, and by whom it is proposed. Random values (ids, serials, tokens, keys) are made before proposing;
//! times of effect come from the leader's stamp.

use std::fmt;
use std::sync::Arc;

use steeple_core::{
    AcmeAccount, AttestedAgent, Authority, AuthorityId, AuthorityKind, Bundle, Entry, FederationRelationship,
    JoinToken, JwtAuthority, SealedKey, SpiffeId, Timestamp, TrustDomain, WebCertificate,
};

use crate::{AuditAnchor, ImportRecord, MemberFacts, Suffrage, Uuid};

/// Names one attempt at a change; a retry under the same id is answered with the first outcome.
pub type RequestId = Uuid;

/// The request id of commands whose repetition is harmless, such as those of drivers: no outcome is kept for them.
pub const NO_REQUEST: RequestId = [0; 16];

/// One change. A log entry holds a list of them, applied in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    pub request_id: RequestId,
    /// Stamped by the leader when it proposes. The replicated clock never runs backwards: see [`crate::State::now`].
    pub at: Timestamp,
    /// Who asked, for the log's reader: a SPIFFE ID, `local`, or the name of a driver. It decides nothing.
    pub actor: String,
    pub kind: CommandKind,
}

/// Every kind of change. A kind that an older version does not know stops its apply (see `codec`).
#[derive(Clone, Debug, PartialEq)]
pub enum CommandKind {
    /// Changes nothing. Replicas compare their states at it: the leader's state check proposes one every minute.
    Noop,

    /// Entry service. Answer: [`crate::Outcome::EntriesCreated`], one result for each draft. The id must be chosen;
    /// `revision` and `created_at` of a draft are ignored.
    CreateEntries { entries: Vec<Arc<Entry>> },
    /// Entry service. Answer: [`crate::Outcome::EntriesUpdated`].
    UpdateEntries { updates: Vec<EntryUpdate> },
    /// Entry service. Answer: [`crate::Outcome::Deleted`].
    DeleteEntries { ids: Vec<String> },
    /// Entry service, for callers with limited rights: as `UpdateEntries`, of entries that still are what the caller's
    /// rights were judged by. From cluster version 3 on. Answer: [`crate::Outcome::EntriesUpdated`].
    UpdateJudgedEntries { updates: Vec<JudgedUpdate> },
    /// As `UpdateJudgedEntries`, for `DeleteEntries`. Answer: [`crate::Outcome::Deleted`].
    DeleteJudgedEntries { judged: Vec<Arc<Entry>> },
    /// Leader's prune driver: entries with `expires_at` set and below `before` (Unix seconds), at most
    /// [`crate::limits::PRUNE_ITEMS_MAX`]. Answer: [`crate::Outcome::Pruned`].
    PruneEntries { before: i64 },

    /// Agent service, at the end of an attestation. Answer: [`crate::Outcome::Agent`].
    AttestAgent(Attestation),
    /// Agent service, RenewAgent: the serial handed out and not yet used. `replaces` is the pending one that the call
    /// found, empty for none: refused if another renewal came in between, whose SVID the agent may show by now. From
    /// cluster version 4 on; `None` replaces whatever there is. Answer: [`crate::Outcome::Agent`].
    SetPendingSerial { id: SpiffeId, serial: String, not_after: i64, replaces: Option<String> },
    /// Agent authorizer, on the first use of a renewed SVID. Idempotent. Answer: [`crate::Outcome::Agent`].
    PromoteSerial { id: SpiffeId, serial: String },
    /// Agent service, PostStatus. Answer: [`crate::Outcome::Done`].
    SetAgentVersion { id: SpiffeId, version: String },
    /// Agent service. Answer: [`crate::Outcome::Done`].
    BanAgent { id: SpiffeId },
    /// Agent service; takes the alias entries of a join token along. Answer: [`crate::Outcome::Done`].
    DeleteAgent { id: SpiffeId },
    /// Leader's prune driver: agents whose SVID expired before `expired_before` (Unix seconds) and who are not banned;
    /// those that cannot attest again only with `include_tofu`. Answer: [`crate::Outcome::Pruned`].
    PruneAgents { expired_before: i64, include_tofu: bool, items_max: u32 },

    /// Agent service; `alias` is the entry that gives the agent a second ID. The token is named as
    /// [`crate::State::join_token_name`] says. Answer: [`crate::Outcome::Done`].
    CreateJoinToken { token: JoinToken, alias: Option<Arc<Entry>> },
    /// Leader's prune driver: unused tokens that expired before `before` (Unix seconds).
    /// Answer: [`crate::Outcome::Pruned`].
    PruneJoinTokens { before: i64 },

    /// Bundle service: roots (one DER each) and JWT keys into the own bundle. Answer: [`crate::Outcome::Bundle`].
    AppendBundle { x509_authorities: Vec<Vec<u8>>, jwt_authorities: Vec<JwtAuthority> },
    /// Bundle service, for downstream servers: one JWT key into the own bundle. Answer: [`crate::Outcome::Bundle`].
    PublishJwtAuthority { authority: JwtAuthority },
    /// Leader's CA driver: takes the given roots (DER) and the keys that expired before `jwt_expired_before` (Unix
    /// seconds) out of the own bundle, never the last of a kind. Answer: [`crate::Outcome::Bundle`].
    PruneBundle { x509_authorities: Vec<Vec<u8>>, jwt_expired_before: i64 },
    /// Bundle service. Answer: [`crate::Outcome::Bundles`].
    CreateBundles { bundles: Vec<Arc<Bundle>> },
    /// Bundle service. Answer: [`crate::Outcome::Bundles`].
    UpdateBundles { updates: Vec<BundleUpdate> },
    /// Bundle service and federation driver: creates or replaces. Answer: [`crate::Outcome::Bundles`].
    SetBundles { bundles: Vec<Arc<Bundle>> },
    /// Bundle service. Answer: [`crate::Outcome::Deleted`].
    DeleteBundles { trust_domains: Vec<TrustDomain>, mode: DeleteMode },

    /// TrustDomain service. Answer: [`crate::Outcome::Relationships`].
    CreateRelationships { relationships: Vec<RelationshipDraft> },
    /// TrustDomain service. Answer: [`crate::Outcome::Relationships`].
    UpdateRelationships { updates: Vec<RelationshipUpdate> },
    /// TrustDomain service; the bundle stays. Answer: [`crate::Outcome::Deleted`].
    DeleteRelationships { trust_domains: Vec<TrustDomain> },

    /// Import service: records of another server, at most [`crate::limits::IMPORT_RECORDS_MAX`]. All that are missing
    /// are written, or none when one is in conflict. Answer: [`crate::Outcome::Imported`].
    Import { records: Vec<ImportRecord> },

    /// CA driver and LocalAuthority service: fills the next slot and publishes the public half in the own bundle.
    /// `upstream_roots` (DER) are published instead of the certificate when an upstream authority signed it.
    /// Answer: [`crate::Outcome::Authority`].
    PrepareAuthority { authority: Box<Authority>, upstream_roots: Vec<Vec<u8>> },
    /// CA driver and LocalAuthority service: the prepared authority signs from now on, the active one becomes old and
    /// its sealed key is dropped. Answer: [`crate::Outcome::Authority`].
    ActivateAuthority { kind: AuthorityKind, id: AuthorityId },
    /// LocalAuthority service: flags the old authority in the own bundle. Answer: [`crate::Outcome::Authority`].
    TaintAuthority { kind: AuthorityKind, id: AuthorityId },
    /// LocalAuthority service: removes a tainted authority from the own bundle. Answer: [`crate::Outcome::Authority`].
    RevokeAuthority { kind: AuthorityKind, id: AuthorityId },
    /// LocalAuthority service: flags the roots (DER) with the subject key id that signed the old authority in the own
    /// bundle. Answer: [`crate::Outcome::Authority`] with that id.
    TaintUpstreamAuthority { subject_key_id: String, roots: Vec<Vec<u8>> },
    /// LocalAuthority service: removes tainted roots from the own bundle, named as for `TaintUpstreamAuthority`.
    /// Answer: [`crate::Outcome::Authority`] with that id.
    RevokeUpstreamAuthority { subject_key_id: String, roots: Vec<Vec<u8>> },
    /// Upstream driver: the own bundle follows the one of the authority above. Answer: [`crate::Outcome::Bundle`].
    FollowUpstream(Box<UpstreamChanges>),
    /// Reseal driver: the same private key sealed under a newer data key; refused unless it is sealed under
    /// `expected_term` now. Answer: [`crate::Outcome::Authority`].
    ResealAuthority { kind: AuthorityKind, id: AuthorityId, key: SealedKey, expected_term: u64 },
    /// CA driver: empties the next slot of an old authority. Answer: [`crate::Outcome::Authority`].
    ForgetAuthority { kind: AuthorityKind, id: AuthorityId },

    /// ACME driver: the account's key, sealed. From cluster version 3 on, as all about certificates of the web.
    /// Answer: [`crate::Outcome::Done`].
    SetAcmeAccount { account: AcmeAccount },
    /// ACME driver: what every replica shows to whoever asks for `domain` with `acme-tls/1`; `None`: nothing any more.
    /// Answer: [`crate::Outcome::Done`].
    SetAcmeChallenge { domain: String, digest: Option<[u8; 32]> },
    /// ACME driver: takes the place of an earlier one, and takes the challenge away. Answer: [`crate::Outcome::Done`].
    SetWebCertificate { certificate: Box<WebCertificate> },
    /// Reseal driver: as `ResealAuthority`. Answer: [`crate::Outcome::Done`].
    ResealWebKey { name: WebKey, key: SealedKey, expected_term: u64 },

    /// Audit driver of any replica: the head of its chain of audit records. From cluster version 6 on.
    /// Answer: [`crate::Outcome::Done`].
    SetAuditAnchor { anchor: AuditAnchor },

    /// Operator, when the replicated clock ran ahead of the replicas': it says what the leader's clock says now. What
    /// was made in a time that has not come ends: join tokens, at most [`crate::limits::PRUNE_ITEMS_MAX`] at a time and
    /// all before the clock is reset; and authorities, which get successors. From cluster version 7 on.
    /// Answer: [`crate::Outcome::Pruned`], with the tokens.
    ResetClock,

    /// The node that bootstraps, once. Answer: [`crate::Outcome::Member`] with the first node id.
    InitCluster(Box<ClusterInit>),
    /// Leader, for a joiner; the same storage UUID gets the same id. Answer: [`crate::Outcome::Member`].
    AllocateMember { member: MemberFacts },
    /// A member that starts under a new name or address. Answer: [`crate::Outcome::Member`].
    UpdateMember { node_id: u64, name: String, peer_address: String, api_address: String },
    /// Operator or leader, after the Raft membership let go of it. Answer: [`crate::Outcome::Done`].
    RemoveMember { node_id: u64 },
    /// Operator: whether a member votes. From cluster version 2 on. Answer: [`crate::Outcome::Done`].
    SetSuffrage { node_id: u64, suffrage: Suffrage },
    /// Operator: how many members vote; 0 is all. From cluster version 2 on. Answer: [`crate::Outcome::Done`].
    SetVotersTarget { voters: u32 },
    /// Operator, when all members can follow; see [`CommandKind::needs_version`]. Answer: [`crate::Outcome::Done`].
    SetClusterVersion { version: u32 },
    /// Seal service and reseal driver: the wrapped keyring that seals keys; refused unless `expected_revision` is the
    /// stored one. Answer: [`crate::Outcome::Done`].
    SetKeyring { content: Vec<u8>, expected_revision: u64 },
    /// Driver of a new sealing key: as `SetKeyring`, with the root key wrapped by another sealing key. Refused as well
    /// while there is a member that is not in `held_by`, the node ids of those that keep that key on disk: who joined
    /// meanwhile could open nothing. From cluster version 5 on. Answer: [`crate::Outcome::Done`].
    ReplaceSealingKey { content: Vec<u8>, expected_revision: u64, held_by: Vec<u64> },
    /// Peer-CA driver and reseal driver: the peers' certificate authority; as `SetKeyring`.
    /// Answer: [`crate::Outcome::Done`].
    SetPeerCa { content: Vec<u8>, expected_revision: u64 },
}

/// A private key of the web, by the record that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebKey {
    Account { directory_url: String },
    Certificate { domain: String },
}

/// What the own bundle takes over from the authority above, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamChanges {
    /// Roots (DER) that are not there yet.
    pub append: Vec<Vec<u8>>,
    /// Roots (DER) not to be trusted any more.
    pub taint: Vec<Vec<u8>>,
    /// Tainted roots (DER) that are gone above; those that are not tainted here stay.
    pub revoke: Vec<Vec<u8>>,
    /// Keys that are not there yet.
    pub jwt_authorities: Vec<JwtAuthority>,
}

/// The fields of `entry` that `mask` names replace the stored ones; `entry.id` says which entry.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryUpdate {
    pub entry: Arc<Entry>,
    pub mask: EntryMask,
}

/// An update of an entry that was `judged` when somebody decided that it may be made.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedUpdate {
    pub update: EntryUpdate,
    pub judged: Arc<Entry>,
}

/// The fields of an entry that an update replaces (SPIRE's `EntryMask`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryMask {
    pub spiffe_id: bool,
    pub parent_id: bool,
    pub selectors: bool,
    pub x509_svid_ttl: bool,
    pub jwt_svid_ttl: bool,
    pub federates_with: bool,
    pub admin: bool,
    pub downstream: bool,
    pub expires_at: bool,
    pub dns_names: bool,
    pub store_svid: bool,
    pub hint: bool,
    pub additional_attributes: bool,
}

/// The result of a node attestation, as one step: token, ban, record and selectors together.
#[derive(Clone, PartialEq)]
pub struct Attestation {
    /// `new_serial`, `new_not_after` and `agent_version` are ignored.
    pub agent: AttestedAgent,
    /// The token that is used up by this attestation, named as [`crate::State::join_token_name`] says.
    pub join_token: Option<String>,
    /// Trust on first use: refused when the agent is known already.
    pub first_use: bool,
}

/// The fields of `bundle` that `mask` names replace the stored ones.
#[derive(Clone, Debug, PartialEq)]
pub struct BundleUpdate {
    pub bundle: Arc<Bundle>,
    pub mask: BundleMask,
}

/// The fields of a bundle that an update replaces (SPIRE's `BundleMask`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BundleMask {
    pub x509_authorities: bool,
    pub jwt_authorities: bool,
    pub refresh_hint: bool,
    pub sequence: bool,
}

/// What becomes of entries that federate with a deleted bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeleteMode {
    /// The bundle is kept while entries refer to it.
    #[default]
    Restrict,
    /// The entries are deleted too.
    Delete,
    /// The entries lose the reference; their revision stays.
    Dissociate,
}

/// A federation relationship with the first bundle, where the caller has one.
#[derive(Clone, Debug, PartialEq)]
pub struct RelationshipDraft {
    pub relationship: FederationRelationship,
    pub bundle: Option<Arc<Bundle>>,
}

/// The fields that `mask` names replace the stored ones.
#[derive(Clone, Debug, PartialEq)]
pub struct RelationshipUpdate {
    pub draft: RelationshipDraft,
    pub mask: RelationshipMask,
}

/// The fields of a relationship that an update replaces (SPIRE's `FederationRelationshipMask`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelationshipMask {
    pub bundle_endpoint_url: bool,
    pub bundle_endpoint_profile: bool,
    pub trust_domain_bundle: bool,
}

/// What the bootstrapping node decides for the life of the cluster.
#[derive(Clone, PartialEq)]
pub struct ClusterInit {
    pub cluster_uuid: Uuid,
    pub trust_domain: TrustDomain,
    /// Wrapped under the sealing key; opaque here.
    pub keyring: Vec<u8>,
    /// The peers' certificate authority, its key sealed; opaque here.
    pub peer_ca: Vec<u8>,
    pub first: MemberFacts,
    /// The cluster version to begin with: the founder's, since whoever joins must be able to follow.
    pub version: u32,
}

impl EntryMask {
    /// An absent mask: every field.
    pub const ALL: Self = Self {
        spiffe_id: true,
        parent_id: true,
        selectors: true,
        x509_svid_ttl: true,
        jwt_svid_ttl: true,
        federates_with: true,
        admin: true,
        downstream: true,
        expires_at: true,
        dns_names: true,
        store_svid: true,
        hint: true,
        additional_attributes: true,
    };
}

impl BundleMask {
    /// An absent mask: every field.
    pub const ALL: Self = Self { x509_authorities: true, jwt_authorities: true, refresh_hint: true, sequence: true };
}

impl RelationshipMask {
    /// An absent mask: every field.
    pub const ALL: Self = Self { bundle_endpoint_url: true, bundle_endpoint_profile: true, trust_domain_bundle: true };
}

/// Without the token, which is a credential until it is used.
impl fmt::Debug for Attestation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attestation")
            .field("agent", &self.agent)
            .field("join_token", &self.join_token.as_ref().map(|_| "…"))
            .field("first_use", &self.first_use)
            .finish()
    }
}

/// Without the content of the two documents: their keys are sealed, but no log needs even that.
impl fmt::Debug for ClusterInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterInit")
            .field("trust_domain", &self.trust_domain)
            .field("keyring_bytes", &self.keyring.len())
            .field("peer_ca_bytes", &self.peer_ca.len())
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}
