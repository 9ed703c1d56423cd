//! Commands. A kind's tag is its identity for all time; a kind that this program lacks decodes to none and is refused.

use std::sync::Arc;

use steeple_core as core;
use steeple_core::{Timestamp, TrustDomain};

use super::super::DecodeError;
use super::audit::AuditAnchor;
use super::import::Records;
use super::mask::{from_bits, to_bits};
use super::noun::{
    Bundle, Entry, JwtAuthority, MemberFacts, kind, kind_number, spiffe_id, suffrage, suffrage_number, trust_domain,
    uuid, version, written_version,
};
use super::payload::{
    AgentText, AppendBundle, Attestation, AuthorityName, BundleUpdate, BundleUpdates, Bundles, ClusterInit,
    CreateJoinToken, DeleteBundles, Empty, Entries, EntryUpdate, EntryUpdates, JudgedUpdate, JudgedUpdates, Names,
    PendingSerial, PrepareAuthority, PruneAgents, PruneBundle, RelationshipDraft, RelationshipDrafts,
    RelationshipUpdate, RelationshipUpdates, ReplaceSealingKey, ResealAuthority, SetSealed, SetSuffrage, UpdateMember,
    UpstreamChanges, UpstreamRoots,
};
use super::web::{AcmeAccount, AcmeChallenge, ResealWebKey, WebCertificate};
use crate::{CommandKind, DeleteMode};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Commands {
    #[prost(message, repeated, tag = "1")]
    pub(crate) commands: Vec<Command>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Command {
    #[prost(bytes = "vec", tag = "1")]
    request_id: Vec<u8>,
    #[prost(sint64, tag = "2")]
    at_ms: i64,
    #[prost(string, tag = "3")]
    actor: String,
    #[prost(
        oneof = "Kind",
        tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, \
                35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 60, 61, 62, 63, 64, 70, 71, 72, 73, \
                74, 77, 78"
    )]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "10")]
    Noop(Empty),
    #[prost(message, tag = "11")]
    CreateEntries(Entries),
    #[prost(message, tag = "12")]
    UpdateEntries(EntryUpdates),
    #[prost(message, tag = "13")]
    DeleteEntries(Names),
    #[prost(sint64, tag = "14")]
    PruneEntries(i64),
    #[prost(message, tag = "15")]
    AttestAgent(Attestation),
    #[prost(message, tag = "16")]
    SetPendingSerial(PendingSerial),
    #[prost(message, tag = "17")]
    PromoteSerial(AgentText),
    #[prost(message, tag = "18")]
    SetAgentVersion(AgentText),
    #[prost(string, tag = "19")]
    BanAgent(String),
    #[prost(string, tag = "20")]
    DeleteAgent(String),
    #[prost(message, tag = "21")]
    PruneAgents(PruneAgents),
    #[prost(message, tag = "22")]
    CreateJoinToken(CreateJoinToken),
    #[prost(sint64, tag = "23")]
    PruneJoinTokens(i64),
    #[prost(message, tag = "24")]
    AppendBundle(AppendBundle),
    #[prost(message, tag = "25")]
    PublishJwtAuthority(JwtAuthority),
    #[prost(message, tag = "26")]
    PruneBundle(PruneBundle),
    #[prost(message, tag = "27")]
    CreateBundles(Bundles),
    #[prost(message, tag = "28")]
    UpdateBundles(BundleUpdates),
    #[prost(message, tag = "29")]
    SetBundles(Bundles),
    #[prost(message, tag = "30")]
    DeleteBundles(DeleteBundles),
    #[prost(message, tag = "31")]
    CreateRelationships(RelationshipDrafts),
    #[prost(message, tag = "32")]
    UpdateRelationships(RelationshipUpdates),
    #[prost(message, tag = "33")]
    DeleteRelationships(Names),
    #[prost(message, tag = "34")]
    PrepareAuthority(PrepareAuthority),
    #[prost(message, tag = "35")]
    ActivateAuthority(AuthorityName),
    #[prost(message, tag = "36")]
    TaintAuthority(AuthorityName),
    #[prost(message, tag = "37")]
    RevokeAuthority(AuthorityName),
    #[prost(message, tag = "38")]
    ForgetAuthority(AuthorityName),
    #[prost(message, tag = "39")]
    InitCluster(ClusterInit),
    #[prost(message, tag = "40")]
    AllocateMember(MemberFacts),
    #[prost(message, tag = "41")]
    UpdateMember(UpdateMember),
    #[prost(uint64, tag = "42")]
    RemoveMember(u64),
    #[prost(message, tag = "43")]
    SetKeyring(SetSealed),
    #[prost(message, tag = "44")]
    SetPeerCa(SetSealed),
    #[prost(message, tag = "45")]
    TaintUpstreamAuthority(UpstreamRoots),
    #[prost(message, tag = "46")]
    RevokeUpstreamAuthority(UpstreamRoots),
    #[prost(message, tag = "47")]
    FollowUpstream(UpstreamChanges),
    #[prost(message, tag = "48")]
    Import(Records),
    #[prost(message, tag = "49")]
    ResealAuthority(ResealAuthority),
    #[prost(message, tag = "60")]
    SetSuffrage(SetSuffrage),
    #[prost(uint32, tag = "61")]
    SetVotersTarget(u32),
    #[prost(uint32, tag = "62")]
    SetClusterVersion(u32),
    #[prost(message, tag = "63")]
    UpdateJudgedEntries(JudgedUpdates),
    #[prost(message, tag = "64")]
    DeleteJudgedEntries(Entries),
    #[prost(message, tag = "70")]
    SetAcmeAccount(AcmeAccount),
    #[prost(message, tag = "71")]
    SetAcmeChallenge(AcmeChallenge),
    #[prost(message, tag = "72")]
    SetWebCertificate(WebCertificate),
    #[prost(message, tag = "73")]
    ResealWebKey(ResealWebKey),
    #[prost(message, tag = "74")]
    ReplaceSealingKey(ReplaceSealingKey),
    #[prost(message, tag = "77")]
    SetAuditAnchor(AuditAnchor),
    #[prost(message, tag = "78")]
    ResetClock(Empty),
}

// === To messages ===

impl From<&crate::Command> for Command {
    fn from(command: &crate::Command) -> Self {
        Self {
            request_id: command.request_id.to_vec(),
            at_ms: command.at.as_ms(),
            actor: command.actor.clone(),
            kind: Some((&command.kind).into()),
        }
    }
}

impl From<&CommandKind> for Kind {
    fn from(kind: &CommandKind) -> Self {
        match kind {
            CommandKind::Noop => Self::Noop(Empty {}),
            CommandKind::CreateEntries { entries } => Self::CreateEntries(entries.as_slice().into()),
            CommandKind::UpdateEntries { updates } => {
                Self::UpdateEntries(EntryUpdates { updates: updates.iter().map(EntryUpdate::from).collect() })
            }
            CommandKind::DeleteEntries { ids } => Self::DeleteEntries(Names { names: ids.clone() }),
            CommandKind::UpdateJudgedEntries { updates } => {
                let updates = updates.iter().map(|judged| JudgedUpdate {
                    update: Some((&judged.update).into()),
                    judged: Some((&*judged.judged).into()),
                });
                Self::UpdateJudgedEntries(JudgedUpdates { updates: updates.collect() })
            }
            CommandKind::DeleteJudgedEntries { judged } => Self::DeleteJudgedEntries(judged.as_slice().into()),
            CommandKind::PruneEntries { before } => Self::PruneEntries(*before),
            CommandKind::AttestAgent(attestation) => Self::AttestAgent(Attestation {
                agent: Some((&attestation.agent).into()),
                join_token: attestation.join_token.clone(),
                first_use: attestation.first_use,
            }),
            CommandKind::SetPendingSerial { id, serial, not_after, replaces } => {
                Self::SetPendingSerial(PendingSerial {
                    id: id.to_string(),
                    serial: serial.clone(),
                    not_after: *not_after,
                    replaces: replaces.clone(),
                })
            }
            CommandKind::PromoteSerial { id, serial } => {
                Self::PromoteSerial(AgentText { id: id.to_string(), text: serial.clone() })
            }
            CommandKind::SetAgentVersion { id, version } => {
                Self::SetAgentVersion(AgentText { id: id.to_string(), text: version.clone() })
            }
            CommandKind::BanAgent { id } => Self::BanAgent(id.to_string()),
            CommandKind::DeleteAgent { id } => Self::DeleteAgent(id.to_string()),
            CommandKind::PruneAgents { expired_before, include_tofu, items_max } => Self::PruneAgents(PruneAgents {
                expired_before: *expired_before,
                include_tofu: *include_tofu,
                items_max: *items_max,
            }),
            CommandKind::CreateJoinToken { token, alias } => Self::CreateJoinToken(CreateJoinToken {
                token: Some(token.into()),
                alias: alias.as_deref().map(Entry::from),
            }),
            CommandKind::PruneJoinTokens { before } => Self::PruneJoinTokens(*before),
            CommandKind::AppendBundle { x509_authorities, jwt_authorities } => Self::AppendBundle(AppendBundle {
                x509_authorities: x509_authorities.clone(),
                jwt_authorities: jwt_authorities.iter().map(JwtAuthority::from).collect(),
            }),
            CommandKind::PublishJwtAuthority { authority } => Self::PublishJwtAuthority(authority.into()),
            CommandKind::PruneBundle { x509_authorities, jwt_expired_before } => Self::PruneBundle(PruneBundle {
                x509_authorities: x509_authorities.clone(),
                jwt_expired_before: *jwt_expired_before,
            }),
            CommandKind::CreateBundles { bundles } => Self::CreateBundles(bundles.as_slice().into()),
            CommandKind::UpdateBundles { updates } => {
                let updates = updates
                    .iter()
                    .map(|update| BundleUpdate { bundle: Some((&*update.bundle).into()), mask: to_bits(update.mask) });
                Self::UpdateBundles(BundleUpdates { updates: updates.collect() })
            }
            CommandKind::SetBundles { bundles } => Self::SetBundles(bundles.as_slice().into()),
            CommandKind::DeleteBundles { trust_domains, mode } => {
                Self::DeleteBundles(DeleteBundles { trust_domains: names(trust_domains), mode: mode_number(*mode) })
            }
            CommandKind::CreateRelationships { relationships } => Self::CreateRelationships(RelationshipDrafts {
                drafts: relationships.iter().map(RelationshipDraft::from).collect(),
            }),
            CommandKind::UpdateRelationships { updates } => {
                let updates = updates.iter().map(|update| RelationshipUpdate {
                    draft: Some((&update.draft).into()),
                    mask: to_bits(update.mask),
                });
                Self::UpdateRelationships(RelationshipUpdates { updates: updates.collect() })
            }
            CommandKind::DeleteRelationships { trust_domains } => {
                Self::DeleteRelationships(Names { names: names(trust_domains) })
            }
            CommandKind::Import { records } => Self::Import(records.as_slice().into()),
            CommandKind::PrepareAuthority { authority, upstream_roots } => Self::PrepareAuthority(PrepareAuthority {
                authority: Some((&**authority).into()),
                upstream_roots: upstream_roots.clone(),
            }),
            CommandKind::ActivateAuthority { kind, id } => Self::ActivateAuthority(authority_name(*kind, id)),
            CommandKind::TaintAuthority { kind, id } => Self::TaintAuthority(authority_name(*kind, id)),
            CommandKind::RevokeAuthority { kind, id } => Self::RevokeAuthority(authority_name(*kind, id)),
            CommandKind::ForgetAuthority { kind, id } => Self::ForgetAuthority(authority_name(*kind, id)),
            CommandKind::TaintUpstreamAuthority { subject_key_id, roots } => {
                Self::TaintUpstreamAuthority(upstream_roots(subject_key_id, roots))
            }
            CommandKind::RevokeUpstreamAuthority { subject_key_id, roots } => {
                Self::RevokeUpstreamAuthority(upstream_roots(subject_key_id, roots))
            }
            CommandKind::FollowUpstream(changes) => Self::FollowUpstream(UpstreamChanges {
                append: changes.append.clone(),
                taint: changes.taint.clone(),
                revoke: changes.revoke.clone(),
                jwt_authorities: changes.jwt_authorities.iter().map(JwtAuthority::from).collect(),
            }),
            CommandKind::ResealAuthority { kind, id, key, expected_term } => Self::ResealAuthority(ResealAuthority {
                name: Some(authority_name(*kind, id)),
                keyring_term: key.keyring_term,
                ciphertext: key.ciphertext.clone(),
                expected_term: *expected_term,
            }),
            CommandKind::SetAcmeAccount { account } => Self::SetAcmeAccount(account.into()),
            CommandKind::SetAcmeChallenge { domain, digest } => {
                Self::SetAcmeChallenge(AcmeChallenge::new(domain, *digest))
            }
            CommandKind::SetWebCertificate { certificate } => Self::SetWebCertificate((&**certificate).into()),
            CommandKind::ResealWebKey { name, key, expected_term } => {
                Self::ResealWebKey(ResealWebKey::new(name, key, *expected_term))
            }
            CommandKind::ResetClock => Self::ResetClock(Empty {}),
            CommandKind::SetAuditAnchor { anchor } => Self::SetAuditAnchor(anchor.into()),
            CommandKind::InitCluster(init) => Self::InitCluster(ClusterInit {
                cluster_uuid: init.cluster_uuid.to_vec(),
                trust_domain: init.trust_domain.to_string(),
                keyring: init.keyring.clone(),
                peer_ca: init.peer_ca.clone(),
                first: Some((&init.first).into()),
                version: written_version(init.version),
            }),
            CommandKind::AllocateMember { member } => Self::AllocateMember(member.into()),
            CommandKind::UpdateMember { node_id, name, peer_address, api_address } => {
                Self::UpdateMember(UpdateMember {
                    node_id: *node_id,
                    name: name.clone(),
                    peer_address: peer_address.clone(),
                    api_address: api_address.clone(),
                })
            }
            CommandKind::RemoveMember { node_id } => Self::RemoveMember(*node_id),
            CommandKind::SetSuffrage { node_id, suffrage } => {
                Self::SetSuffrage(SetSuffrage { node_id: *node_id, suffrage: suffrage_number(*suffrage) })
            }
            CommandKind::SetVotersTarget { voters } => Self::SetVotersTarget(*voters),
            CommandKind::SetClusterVersion { version } => Self::SetClusterVersion(*version),
            CommandKind::SetKeyring { content, expected_revision } => {
                Self::SetKeyring(SetSealed { content: content.clone(), expected_revision: *expected_revision })
            }
            CommandKind::ReplaceSealingKey { content, expected_revision, held_by } => {
                Self::ReplaceSealingKey(ReplaceSealingKey {
                    content: content.clone(),
                    expected_revision: *expected_revision,
                    held_by: held_by.clone(),
                })
            }
            CommandKind::SetPeerCa { content, expected_revision } => {
                Self::SetPeerCa(SetSealed { content: content.clone(), expected_revision: *expected_revision })
            }
        }
    }
}

impl From<&[Arc<core::Entry>]> for Entries {
    fn from(entries: &[Arc<core::Entry>]) -> Self {
        Self { entries: entries.iter().map(|entry| (&**entry).into()).collect() }
    }
}

impl From<&crate::EntryUpdate> for EntryUpdate {
    fn from(update: &crate::EntryUpdate) -> Self {
        Self { entry: Some((&*update.entry).into()), mask: to_bits(update.mask) }
    }
}

impl From<&[Arc<core::Bundle>]> for Bundles {
    fn from(bundles: &[Arc<core::Bundle>]) -> Self {
        Self { bundles: bundles.iter().map(|bundle| (&**bundle).into()).collect() }
    }
}

impl From<&crate::RelationshipDraft> for RelationshipDraft {
    fn from(draft: &crate::RelationshipDraft) -> Self {
        Self { relationship: Some((&draft.relationship).into()), bundle: draft.bundle.as_deref().map(Bundle::from) }
    }
}

fn upstream_roots(subject_key_id: &str, roots: &[Vec<u8>]) -> UpstreamRoots {
    UpstreamRoots { subject_key_id: subject_key_id.to_owned(), roots: roots.to_vec() }
}

fn authority_name(kind: core::AuthorityKind, id: &str) -> AuthorityName {
    AuthorityName { kind: kind_number(kind), id: id.to_owned() }
}

fn names(trust_domains: &[TrustDomain]) -> Vec<String> {
    trust_domains.iter().map(TrustDomain::to_string).collect()
}

fn mode_number(mode: DeleteMode) -> u32 {
    match mode {
        DeleteMode::Restrict => 1,
        DeleteMode::Delete => 2,
        DeleteMode::Dissociate => 3,
    }
}

// === From messages ===

impl TryFrom<Command> for crate::Command {
    type Error = DecodeError;

    fn try_from(command: Command) -> Result<Self, DecodeError> {
        Ok(Self {
            request_id: uuid(&command.request_id)?,
            at: Timestamp::from_ms(command.at_ms),
            actor: command.actor,
            kind: command.kind.ok_or(DecodeError::UnknownCommand)?.try_into()?,
        })
    }
}

impl TryFrom<Kind> for CommandKind {
    type Error = DecodeError;

    fn try_from(message: Kind) -> Result<Self, DecodeError> {
        Ok(match message {
            Kind::Noop(Empty {}) => Self::Noop,
            Kind::CreateEntries(list) => Self::CreateEntries { entries: shared(list.entries)? },
            Kind::UpdateEntries(list) => {
                let updates = list.updates.into_iter().map(TryInto::try_into);
                Self::UpdateEntries { updates: updates.collect::<Result<_, DecodeError>>()? }
            }
            Kind::DeleteEntries(list) => Self::DeleteEntries { ids: list.names },
            Kind::UpdateJudgedEntries(list) => {
                let updates = list.updates.into_iter().map(|one| {
                    let update = present("update of a judged entry", one.update)?.try_into()?;
                    let judged = Arc::new(present("judged entry", one.judged)?.try_into()?);
                    Ok(crate::JudgedUpdate { update, judged })
                });
                Self::UpdateJudgedEntries { updates: updates.collect::<Result<_, DecodeError>>()? }
            }
            Kind::DeleteJudgedEntries(list) => Self::DeleteJudgedEntries { judged: shared(list.entries)? },
            Kind::PruneEntries(before) => Self::PruneEntries { before },
            Kind::AttestAgent(attestation) => Self::AttestAgent(crate::Attestation {
                agent: present("agent of an attestation", attestation.agent)?.try_into()?,
                join_token: attestation.join_token,
                first_use: attestation.first_use,
            }),
            Kind::SetPendingSerial(pending) => Self::SetPendingSerial {
                id: agent_id(&pending.id)?,
                serial: pending.serial,
                not_after: pending.not_after,
                replaces: pending.replaces,
            },
            Kind::PromoteSerial(named) => Self::PromoteSerial { id: agent_id(&named.id)?, serial: named.text },
            Kind::SetAgentVersion(named) => Self::SetAgentVersion { id: agent_id(&named.id)?, version: named.text },
            Kind::BanAgent(id) => Self::BanAgent { id: agent_id(&id)? },
            Kind::DeleteAgent(id) => Self::DeleteAgent { id: agent_id(&id)? },
            Kind::PruneAgents(prune) => Self::PruneAgents {
                expired_before: prune.expired_before,
                include_tofu: prune.include_tofu,
                items_max: prune.items_max,
            },
            Kind::CreateJoinToken(create) => Self::CreateJoinToken {
                token: present("join token", create.token)?.into(),
                alias: create.alias.map(core::Entry::try_from).transpose()?.map(Arc::new),
            },
            Kind::PruneJoinTokens(before) => Self::PruneJoinTokens { before },
            Kind::AppendBundle(append) => Self::AppendBundle {
                x509_authorities: append.x509_authorities,
                jwt_authorities: append.jwt_authorities.into_iter().map(Into::into).collect(),
            },
            Kind::PublishJwtAuthority(authority) => Self::PublishJwtAuthority { authority: authority.into() },
            Kind::PruneBundle(prune) => Self::PruneBundle {
                x509_authorities: prune.x509_authorities,
                jwt_expired_before: prune.jwt_expired_before,
            },
            Kind::CreateBundles(list) => Self::CreateBundles { bundles: shared(list.bundles)? },
            Kind::UpdateBundles(list) => {
                let updates = list.updates.into_iter().map(|update| {
                    let bundle = Arc::new(present("bundle of an update", update.bundle)?.try_into()?);
                    Ok(crate::BundleUpdate { bundle, mask: from_bits(update.mask)? })
                });
                Self::UpdateBundles { updates: updates.collect::<Result<_, DecodeError>>()? }
            }
            Kind::SetBundles(list) => Self::SetBundles { bundles: shared(list.bundles)? },
            Kind::DeleteBundles(delete) => {
                Self::DeleteBundles { trust_domains: parsed(&delete.trust_domains)?, mode: mode(delete.mode)? }
            }
            Kind::CreateRelationships(list) => {
                let drafts = list.drafts.into_iter().map(TryInto::try_into);
                Self::CreateRelationships { relationships: drafts.collect::<Result<_, _>>()? }
            }
            Kind::UpdateRelationships(list) => {
                let updates = list.updates.into_iter().map(|update| {
                    let draft = present("relationship of an update", update.draft)?.try_into()?;
                    Ok(crate::RelationshipUpdate { draft, mask: from_bits(update.mask)? })
                });
                Self::UpdateRelationships { updates: updates.collect::<Result<_, DecodeError>>()? }
            }
            Kind::DeleteRelationships(list) => Self::DeleteRelationships { trust_domains: parsed(&list.names)? },
            Kind::Import(records) => Self::Import { records: records.try_into()? },
            Kind::PrepareAuthority(prepare) => Self::PrepareAuthority {
                authority: Box::new(present("authority", prepare.authority)?.try_into()?),
                upstream_roots: prepare.upstream_roots,
            },
            Kind::ActivateAuthority(name) => Self::ActivateAuthority { kind: kind(name.kind)?, id: name.id },
            Kind::TaintAuthority(name) => Self::TaintAuthority { kind: kind(name.kind)?, id: name.id },
            Kind::RevokeAuthority(name) => Self::RevokeAuthority { kind: kind(name.kind)?, id: name.id },
            Kind::ForgetAuthority(name) => Self::ForgetAuthority { kind: kind(name.kind)?, id: name.id },
            Kind::TaintUpstreamAuthority(named) => {
                Self::TaintUpstreamAuthority { subject_key_id: named.subject_key_id, roots: named.roots }
            }
            Kind::RevokeUpstreamAuthority(named) => {
                Self::RevokeUpstreamAuthority { subject_key_id: named.subject_key_id, roots: named.roots }
            }
            Kind::FollowUpstream(changes) => Self::FollowUpstream(Box::new(crate::UpstreamChanges {
                append: changes.append,
                taint: changes.taint,
                revoke: changes.revoke,
                jwt_authorities: changes.jwt_authorities.into_iter().map(Into::into).collect(),
            })),
            Kind::ResealAuthority(reseal) => {
                let name = present("name of an authority", reseal.name)?;
                Self::ResealAuthority {
                    kind: kind(name.kind)?,
                    id: name.id,
                    key: core::SealedKey { keyring_term: reseal.keyring_term, ciphertext: reseal.ciphertext },
                    expected_term: reseal.expected_term,
                }
            }
            Kind::SetAcmeAccount(account) => Self::SetAcmeAccount { account: account.into() },
            Kind::SetAcmeChallenge(challenge) => {
                let digest = challenge.read_digest()?;
                Self::SetAcmeChallenge { domain: challenge.domain, digest }
            }
            Kind::SetWebCertificate(certificate) => {
                Self::SetWebCertificate { certificate: Box::new(certificate.into()) }
            }
            Kind::ResealWebKey(reseal) => Self::ResealWebKey {
                name: reseal.name()?,
                key: core::SealedKey { keyring_term: reseal.keyring_term, ciphertext: reseal.key_ciphertext },
                expected_term: reseal.expected_term,
            },
            Kind::ResetClock(Empty {}) => Self::ResetClock,
            Kind::SetAuditAnchor(anchor) => Self::SetAuditAnchor { anchor: anchor.try_into()? },
            Kind::InitCluster(init) => Self::InitCluster(Box::new(crate::ClusterInit {
                cluster_uuid: uuid(&init.cluster_uuid)?,
                trust_domain: trust_domain(&init.trust_domain)?,
                keyring: init.keyring,
                peer_ca: init.peer_ca,
                first: present("first member", init.first)?.try_into()?,
                version: version(init.version)?,
            })),
            Kind::AllocateMember(member) => Self::AllocateMember { member: member.try_into()? },
            Kind::UpdateMember(update) => Self::UpdateMember {
                node_id: update.node_id,
                name: update.name,
                peer_address: update.peer_address,
                api_address: update.api_address,
            },
            Kind::RemoveMember(node_id) => Self::RemoveMember { node_id },
            Kind::SetSuffrage(set) => Self::SetSuffrage { node_id: set.node_id, suffrage: suffrage(set.suffrage)? },
            Kind::SetVotersTarget(voters) => Self::SetVotersTarget { voters },
            Kind::SetClusterVersion(written) => Self::SetClusterVersion { version: version(Some(written))? },
            Kind::SetKeyring(set) => {
                Self::SetKeyring { content: set.content, expected_revision: set.expected_revision }
            }
            Kind::ReplaceSealingKey(replace) => Self::ReplaceSealingKey {
                content: replace.content,
                expected_revision: replace.expected_revision,
                held_by: replace.held_by,
            },
            Kind::SetPeerCa(set) => Self::SetPeerCa { content: set.content, expected_revision: set.expected_revision },
        })
    }
}

impl TryFrom<EntryUpdate> for crate::EntryUpdate {
    type Error = DecodeError;

    fn try_from(update: EntryUpdate) -> Result<Self, DecodeError> {
        let entry = Arc::new(present("entry of an update", update.entry)?.try_into()?);
        Ok(Self { entry, mask: from_bits(update.mask)? })
    }
}

impl TryFrom<RelationshipDraft> for crate::RelationshipDraft {
    type Error = DecodeError;

    fn try_from(draft: RelationshipDraft) -> Result<Self, DecodeError> {
        Ok(Self {
            relationship: present("relationship", draft.relationship)?.try_into()?,
            bundle: draft.bundle.map(core::Bundle::try_from).transpose()?.map(Arc::new),
        })
    }
}

fn present<T>(what: &'static str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::Missing { what })
}

fn shared<M, T: TryFrom<M, Error = DecodeError>>(messages: Vec<M>) -> Result<Vec<Arc<T>>, DecodeError> {
    messages.into_iter().map(|message| message.try_into().map(Arc::new)).collect()
}

fn parsed(names: &[String]) -> Result<Vec<TrustDomain>, DecodeError> {
    names.iter().map(|name| trust_domain(name)).collect()
}

fn agent_id(text: &str) -> Result<core::SpiffeId, DecodeError> {
    spiffe_id("ID of an agent", text)
}

fn mode(number: u32) -> Result<DeleteMode, DecodeError> {
    match number {
        1 => Ok(DeleteMode::Restrict),
        2 => Ok(DeleteMode::Delete),
        3 => Ok(DeleteMode::Dissociate),
        other => Err(DecodeError::invalid("mode of a bundle's deletion", other)),
    }
}
