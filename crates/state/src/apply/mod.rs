//! Commands take effect here, one file for each noun. All of them change the state through [`Writer`], which keeps
//! memory, rows, hash and events together.

mod agent;
mod audit;
mod authority;
mod bundle;
mod clock;
mod cluster;
mod entry;
mod import;
mod join_token;
mod refound;
mod relationship;
mod remembered;
mod upstream;
mod web;
mod writer;

use crate::{Applied, Command, CommandKind, NO_REQUEST, Outcome, State};

pub use refound::{Refounded, Refounding};
use writer::Writer;

impl State {
    /// Applies one command of the log entry at `index`. A request id seen before yields the first outcome again and no
    /// change but the clock's.
    pub fn apply(&mut self, index: u64, command: &Command) -> Applied {
        let mut writer = Writer::new(self, index, command.at);
        let outcome = match remembered::outcome(&writer, command) {
            Some(outcome) => outcome,
            None => {
                let outcome = effect(&mut writer, &command.kind);
                if command.request_id != NO_REQUEST {
                    remembered::remember(&mut writer, command, &outcome);
                }
                outcome
            }
        };
        writer.finish(outcome)
    }
}

fn effect(writer: &mut Writer<'_>, kind: &CommandKind) -> Outcome {
    match kind {
        CommandKind::Noop => Outcome::Done,

        CommandKind::CreateEntries { entries } => entry::create(writer, entries),
        CommandKind::UpdateEntries { updates } => entry::update(writer, updates),
        CommandKind::DeleteEntries { ids } => entry::delete(writer, ids),
        CommandKind::UpdateJudgedEntries { updates } => entry::update_judged(writer, updates),
        CommandKind::DeleteJudgedEntries { judged } => entry::delete_judged(writer, judged),
        CommandKind::PruneEntries { before } => entry::prune(writer, *before),

        CommandKind::AttestAgent(attestation) => agent::attest(writer, attestation).into(),
        CommandKind::SetPendingSerial { id, serial, not_after, replaces } => {
            agent::set_pending_serial(writer, id, (serial, *not_after), replaces.as_deref()).into()
        }
        CommandKind::PromoteSerial { id, serial } => agent::promote_serial(writer, id, serial).into(),
        CommandKind::SetAgentVersion { id, version } => agent::set_version(writer, id, version).into(),
        CommandKind::BanAgent { id } => agent::ban(writer, id).into(),
        CommandKind::DeleteAgent { id } => agent::delete(writer, id).into(),
        CommandKind::PruneAgents { expired_before, include_tofu, items_max } => {
            agent::prune(writer, *expired_before, *include_tofu, *items_max)
        }

        CommandKind::CreateJoinToken { token, alias } => join_token::create(writer, token, alias.as_deref()).into(),
        CommandKind::PruneJoinTokens { before } => join_token::prune(writer, *before),

        CommandKind::AppendBundle { x509_authorities, jwt_authorities } => {
            bundle::append(writer, x509_authorities, jwt_authorities).into()
        }
        CommandKind::PublishJwtAuthority { authority } => bundle::publish_jwt(writer, authority).into(),
        CommandKind::PruneBundle { x509_authorities, jwt_expired_before } => {
            bundle::prune(writer, x509_authorities, *jwt_expired_before).into()
        }
        CommandKind::CreateBundles { bundles } => bundle::create(writer, bundles),
        CommandKind::UpdateBundles { updates } => bundle::update(writer, updates),
        CommandKind::SetBundles { bundles } => bundle::set(writer, bundles),
        CommandKind::DeleteBundles { trust_domains, mode } => bundle::delete(writer, trust_domains, *mode),

        CommandKind::CreateRelationships { relationships } => relationship::create(writer, relationships),
        CommandKind::UpdateRelationships { updates } => relationship::update(writer, updates),
        CommandKind::DeleteRelationships { trust_domains } => relationship::delete(writer, trust_domains),

        CommandKind::Import { records } => import::import(writer, records).into(),

        CommandKind::PrepareAuthority { authority, upstream_roots } => {
            authority::prepare(writer, authority, upstream_roots).into()
        }
        CommandKind::ActivateAuthority { kind, id } => authority::activate(writer, *kind, id).into(),
        CommandKind::TaintAuthority { kind, id } => authority::taint(writer, *kind, id).into(),
        CommandKind::RevokeAuthority { kind, id } => authority::revoke(writer, *kind, id).into(),
        CommandKind::TaintUpstreamAuthority { subject_key_id, roots } => {
            upstream::taint(writer, subject_key_id, roots).into()
        }
        CommandKind::RevokeUpstreamAuthority { subject_key_id, roots } => {
            upstream::revoke(writer, subject_key_id, roots).into()
        }
        CommandKind::FollowUpstream(changes) => upstream::follow(writer, changes).into(),
        CommandKind::ResealAuthority { kind, id, key, expected_term } => {
            authority::reseal(writer, *kind, id, key, *expected_term).into()
        }
        CommandKind::ForgetAuthority { kind, id } => authority::forget(writer, *kind, id).into(),

        CommandKind::SetAcmeAccount { account } => web::set_account(writer, account).into(),
        CommandKind::SetAcmeChallenge { domain, digest } => web::set_challenge(writer, domain, *digest).into(),
        CommandKind::SetWebCertificate { certificate } => web::set_certificate(writer, certificate).into(),
        CommandKind::ResealWebKey { name, key, expected_term } => web::reseal(writer, name, key, *expected_term).into(),

        CommandKind::SetAuditAnchor { anchor } => audit::set_anchor(writer, anchor).into(),

        CommandKind::ResetClock => clock::reset(writer).into(),

        CommandKind::InitCluster(init) => cluster::init(writer, init).into(),
        CommandKind::AllocateMember { member } => cluster::allocate_member(writer, member).into(),
        CommandKind::UpdateMember { node_id, name, peer_address, api_address } => {
            cluster::update_member(writer, *node_id, name, peer_address, api_address).into()
        }
        CommandKind::RemoveMember { node_id } => cluster::remove_member(writer, *node_id).into(),
        CommandKind::SetSuffrage { node_id, suffrage } => cluster::set_suffrage(writer, *node_id, *suffrage).into(),
        CommandKind::SetVotersTarget { voters } => cluster::set_voters_target(writer, *voters).into(),
        CommandKind::SetClusterVersion { version } => cluster::set_version(writer, *version).into(),
        CommandKind::SetKeyring { content, expected_revision } => {
            cluster::set_sealed(writer, crate::SealedName::Keyring, content, *expected_revision).into()
        }
        CommandKind::ReplaceSealingKey { content, expected_revision, held_by } => {
            cluster::replace_sealing_key(writer, content, *expected_revision, held_by).into()
        }
        CommandKind::SetPeerCa { content, expected_revision } => {
            cluster::set_sealed(writer, crate::SealedName::PeerCa, content, *expected_revision).into()
        }
    }
}
