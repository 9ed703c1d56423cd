//! The cluster's birth, its members, and the two sealed documents they share.

use super::writer::Writer;
use crate::limits::{MEMBERS_MAX, SEALED_BYTES_MAX};
use crate::{Cluster, ClusterInit, Code, Member, MemberFacts, Outcome, Rejection, Sealed, SealedName, Suffrage};

/// Once only; the same cluster UUID again is a retry.
pub(super) fn init(writer: &mut Writer<'_>, init: &ClusterInit) -> Result<Outcome, Rejection> {
    if let Some(cluster) = writer.state().cluster() {
        let first = writer.state().member_by_storage(&init.first.storage_uuid);
        return match first {
            Some(first) if cluster.uuid == init.cluster_uuid => Ok(Outcome::Member { node_id: first.node_id }),
            _ => Err(Rejection::precondition("the cluster was initialised before: join it, or start on an empty disk")),
        };
    }
    check_size(&init.keyring)?;
    check_size(&init.peer_ca)?;
    writer.put_cluster(Cluster {
        uuid: init.cluster_uuid,
        trust_domain: init.trust_domain.clone(),
        node_id_next: NODE_ID_FIRST + 1,
        version: init.version,
        voters_target: 0,
    });
    writer.put_sealed(SealedName::Keyring, Sealed { revision: 1, content: init.keyring.clone() });
    writer.put_sealed(SealedName::PeerCa, Sealed { revision: 1, content: init.peer_ca.clone() });
    writer.put_member(Member { node_id: NODE_ID_FIRST, facts: init.first.clone(), suffrage: Suffrage::Auto });
    Ok(Outcome::Member { node_id: NODE_ID_FIRST })
}

pub(super) fn allocate_member(writer: &mut Writer<'_>, facts: &MemberFacts) -> Result<Outcome, Rejection> {
    let cluster = writer.state().cluster().cloned().ok_or_else(Rejection::uninitialised)?;
    if let Some(known) = writer.state().member_by_storage(&facts.storage_uuid) {
        let (node_id, suffrage) = (known.node_id, known.suffrage);
        writer.put_member(Member { node_id, facts: facts.clone(), suffrage });
        return Ok(Outcome::Member { node_id });
    }
    if writer.state().members.len() >= MEMBERS_MAX {
        return Err(Rejection::new(
            Code::ResourceExhausted,
            format!("the cluster has {MEMBERS_MAX} members: remove those that are gone"),
        ));
    }
    let node_id = cluster.node_id_next;
    writer.put_cluster(Cluster { node_id_next: node_id.saturating_add(1), ..cluster });
    writer.put_member(Member { node_id, facts: facts.clone(), suffrage: Suffrage::Auto });
    Ok(Outcome::Member { node_id })
}

pub(super) fn update_member(
    writer: &mut Writer<'_>,
    node_id: u64,
    name: &str,
    peer_address: &str,
    api_address: &str,
) -> Result<Outcome, Rejection> {
    let known = writer.state().member(node_id).ok_or_else(|| unknown_member(node_id))?;
    let facts = MemberFacts {
        storage_uuid: known.facts.storage_uuid,
        name: name.to_owned(),
        peer_address: peer_address.to_owned(),
        api_address: api_address.to_owned(),
    };
    let suffrage = known.suffrage;
    writer.put_member(Member { node_id, facts, suffrage });
    Ok(Outcome::Member { node_id })
}

pub(super) fn set_suffrage(writer: &mut Writer<'_>, node_id: u64, suffrage: Suffrage) -> Result<Outcome, Rejection> {
    let known = writer.state().member(node_id).cloned().ok_or_else(|| unknown_member(node_id))?;
    writer.put_member(Member { suffrage, ..known });
    Ok(Outcome::Done)
}

pub(super) fn set_voters_target(writer: &mut Writer<'_>, voters_target: u32) -> Result<Outcome, Rejection> {
    let cluster = writer.state().cluster().cloned().ok_or_else(Rejection::uninitialised)?;
    writer.put_cluster(Cluster { voters_target, ..cluster });
    Ok(Outcome::Done)
}

/// Upwards only; the same one again is a retry.
pub(super) fn set_version(writer: &mut Writer<'_>, version: u32) -> Result<Outcome, Rejection> {
    let cluster = writer.state().cluster().cloned().ok_or_else(Rejection::uninitialised)?;
    if version < cluster.version {
        let message = format!("the cluster is at version {}, which never falls", cluster.version);
        return Err(Rejection::precondition(message));
    }
    writer.put_cluster(Cluster { version, ..cluster });
    Ok(Outcome::Done)
}

pub(super) fn remove_member(writer: &mut Writer<'_>, node_id: u64) -> Result<Outcome, Rejection> {
    writer.state().member(node_id).ok_or_else(|| unknown_member(node_id))?;
    writer.remove_member(node_id);
    Ok(Outcome::Done)
}

/// Compare and set, so that two rotations at the same time cannot undo each other.
pub(super) fn set_sealed(
    writer: &mut Writer<'_>,
    name: SealedName,
    content: &[u8],
    expected_revision: u64,
) -> Result<Outcome, Rejection> {
    check_size(content)?;
    let stored = match name {
        SealedName::Keyring => writer.state().keyring(),
        SealedName::PeerCa => writer.state().peer_ca(),
    };
    let revision = stored.map(|sealed| sealed.revision).ok_or_else(Rejection::uninitialised)?;
    if revision != expected_revision {
        let message = format!("it was replaced meanwhile: revision {revision}, expected {expected_revision}");
        return Err(Rejection::new(Code::Aborted, message));
    }
    writer.put_sealed(name, Sealed { revision: revision.saturating_add(1), content: content.to_vec() });
    Ok(Outcome::Done)
}

/// As [`set_sealed`] of the keyring, once every member keeps the key that opens it from then on.
pub(super) fn replace_sealing_key(
    writer: &mut Writer<'_>,
    content: &[u8],
    expected_revision: u64,
    held_by: &[u64],
) -> Result<Outcome, Rejection> {
    if let Some(without) = writer.state().members().map(|member| member.node_id).find(|id| !held_by.contains(id)) {
        let message = format!("node {without} does not keep the new sealing key yet");
        return Err(Rejection::new(Code::Aborted, message));
    }
    set_sealed(writer, SealedName::Keyring, content, expected_revision)
}

fn check_size(content: &[u8]) -> Result<(), Rejection> {
    if content.len() <= SEALED_BYTES_MAX {
        return Ok(());
    }
    Err(Rejection::invalid(format!("the document has {} bytes, more than {SEALED_BYTES_MAX}", content.len())))
}

fn unknown_member(node_id: u64) -> Rejection {
    Rejection::not_found(format!("no member has node id {node_id}"))
}

const NODE_ID_FIRST: u64 = 1;
