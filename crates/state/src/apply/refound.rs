//! A cluster that begins anew with the state of an earlier one, after a restore or after the loss of a quorum.
//!
//! No command does this: it happens offline, to a state that no replica serves, and the log begins behind it.

use std::collections::BTreeMap;

use steeple_core::{Authority, AuthorityId, AuthorityKind, AuthorityStatus, SealedKey, Timestamp};

use super::clock;
use super::writer::Writer;
use crate::codec::Slot;
use crate::{Cluster, Member, MemberFacts, Outcome, Rejection, Sealed, SealedName, State, Suffrage, Uuid};

/// What is decided about the new cluster.
pub struct Refounding {
    pub cluster_uuid: Uuid,
    /// Wrapped for the new cluster; opaque here.
    pub keyring: Vec<u8>,
    /// New, so that no certificate of the earlier cluster opens a peer port.
    pub peer_ca: Vec<u8>,
    /// The authorities' private keys, sealed with the new keyring. One that is missing here never signs again.
    pub keys: BTreeMap<(AuthorityKind, AuthorityId), SealedKey>,
    /// The only member.
    pub first: MemberFacts,
    pub at: Timestamp,
    /// Whether successors take the place of the signing keys as soon as possible.
    pub rotate: bool,
}

/// What became of the earlier cluster's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refounded {
    /// The log index that the state stands for now.
    pub index: u64,
    pub node_id: u64,
    pub members_removed: usize,
    pub join_tokens_voided: usize,
    pub bundle_sequence: u64,
    /// What the replicated clock said, if it was ahead and was reset.
    pub clock_was: Option<Timestamp>,
}

impl State {
    /// Turns this into the state of a new cluster with one member. Entries, agents, bundles, relationships and
    /// remembered requests stay.
    ///
    /// Numbers that others compare only rise: the id of the member, the bundle's sequence and the entries' revisions
    /// pass whatever the earlier cluster can have given out after this state.
    pub fn refound(&mut self, refounding: &Refounding) -> Result<Refounded, Rejection> {
        let earlier = self.cluster.clone().ok_or_else(Rejection::uninitialised)?;
        let index = self.applied_index.saturating_add(1);
        let mut writer = Writer::new(self, index, refounding.at);
        let reset = writer.state().clock_reset(writer.stamp());
        let clock_was = reset.ahead.then_some(writer.now());
        if reset.ahead {
            clock::turn_back(&mut writer, &reset.authorities);
        }
        let node_id = earlier.node_id_next;
        writer.put_cluster(Cluster {
            uuid: refounding.cluster_uuid,
            node_id_next: node_id.saturating_add(NODE_IDS_SKIPPED),
            voters_target: 0,
            ..earlier
        });
        let members: Vec<u64> = writer.state().members().map(|member| member.node_id).collect();
        members.iter().for_each(|node_id| writer.remove_member(*node_id));
        writer.put_member(Member { node_id, facts: refounding.first.clone(), suffrage: Suffrage::Auto });

        replace_sealed(&mut writer, SealedName::Keyring, &refounding.keyring);
        replace_sealed(&mut writer, SealedName::PeerCa, &refounding.peer_ca);
        for kind in AuthorityKind::ALL {
            take_over(&mut writer, kind, refounding);
        }

        drop_web_keys(&mut writer);

        let tokens: Vec<String> = writer.state().join_tokens.keys().cloned().collect();
        for token in &tokens {
            writer.take_join_token(token);
        }
        let bundle_sequence = raise_bundle(&mut writer);
        raise_revisions(&mut writer);
        writer.finish(Outcome::Done);
        Ok(Refounded {
            index,
            node_id,
            members_removed: members.len(),
            join_tokens_voided: tokens.len(),
            bundle_sequence,
            clock_was,
        })
    }
}

fn replace_sealed(writer: &mut Writer<'_>, name: SealedName, content: &[u8]) {
    let known = match name {
        SealedName::Keyring => writer.state().keyring(),
        SealedName::PeerCa => writer.state().peer_ca(),
    };
    let revision = known.map_or(1, |known| known.revision.saturating_add(1));
    writer.put_sealed(name, Sealed { revision, content: content.to_vec() });
}

/// The active authority signs on. With `rotate` a prepared one is dropped, since its key is as old as the backup; its
/// public half stays in the bundle.
fn take_over(writer: &mut Writer<'_>, kind: AuthorityKind, refounding: &Refounding) {
    let key = |id: &AuthorityId| {
        let none = SealedKey { keyring_term: 0, ciphertext: Vec::new() };
        refounding.keys.get(&(kind, id.clone())).cloned().unwrap_or(none)
    };
    let set = writer.state().authority_set(kind).clone();
    if let Some(active) = set.active {
        let restored = active.restored || refounding.rotate;
        writer.set_slot(kind, Slot::Active, Some(Authority { key: key(&active.id), restored, ..active }));
    }
    if let Some(next) = set.next {
        let dropped = refounding.rotate && next.status == AuthorityStatus::Prepared;
        let kept = Authority { key: key(&next.id), ..next };
        writer.set_slot(kind, Slot::Next, Some(kept).filter(|_| !dropped));
    }
}

/// They are sealed for the earlier cluster, and an ACME server gives others.
fn drop_web_keys(writer: &mut Writer<'_>) {
    let accounts: Vec<String> = writer.state().acme_accounts.keys().cloned().collect();
    accounts.iter().for_each(|directory_url| writer.remove_acme_account(directory_url));
    let domains: Vec<String> = writer.state().web_certificates.keys().cloned().collect();
    domains.iter().for_each(|domain| writer.remove_web_certificate(domain));
    let domains: Vec<String> = writer.state().acme_challenges.keys().cloned().collect();
    domains.iter().for_each(|domain| writer.remove_acme_challenge(domain));
}

fn raise_bundle(writer: &mut Writer<'_>) -> u64 {
    let Some(own) = writer.state().own_bundle().cloned() else { return 0 };
    let mut bundle = (*own).clone();
    bundle.sequence = bundle.sequence.saturating_add(SEQUENCES_SKIPPED);
    writer.put_bundle(bundle).sequence
}

/// An agent fetches an entry again when its revision differs from the one it holds. The lost changes used revisions
/// that the next changes here would use again.
fn raise_revisions(writer: &mut Writer<'_>) {
    let numbers: Vec<u64> = writer.state().entries.after(0).map(|(number, _)| number).collect();
    for number in numbers {
        if let Some(entry) = writer.state().entries.get(number) {
            let mut entry = (**entry).clone();
            entry.revision = entry.revision.saturating_add(REVISIONS_SKIPPED);
            writer.replace_entry(entry);
        }
    }
}

/// More changes than a bundle or an entry sees between a backup and the disaster.
const SEQUENCES_SKIPPED: u64 = 1_000_000;
const REVISIONS_SKIPPED: i64 = 1_000_000;
/// More members than joined since; ids are never used twice.
const NODE_IDS_SKIPPED: u64 = 1_000;
