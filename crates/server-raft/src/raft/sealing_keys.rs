//! A new sealing key's way to the members: who keeps it already, and how one that does not yet is given it.
//!
//! It goes from member to member and never through the log: what is in the log can be read by whoever has the key that
//! is replaced. On its way it is sealed by the keyring, inside the mutual TLS of the peer port.

use std::collections::{BTreeMap, BTreeSet};

use steeple_api::steeple::peer as pb;
use steeple_ca::seal::{NextSealingKey, RecordType, SealError, SealedKeyring, SealingKey};
use steeple_core::SealedKey;
use steeple_state::State;
use steeple_storage::{Identity, StorageError};
use tokio::time::Instant;
use tonic::{Code, Status};

use super::consensus::{Consensus, Route};
use super::peer_ca::open_keyring;
use super::remote;
use super::types::{Node, NodeId};
use crate::seal::{Holding, KeysTold, MemberKey, ServerSealed};

#[derive(Debug, thiserror::Error)]
pub enum SealingKeyError {
    #[error("no member gives the new sealing key: {}", reasons.join("; "))]
    NotGiven { reasons: Vec<String> },
    #[error("log entry {index} is not stored yet")]
    NotStored { index: u64 },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Every member, by ascending id. Those on the list count, whether Raft knows them yet or not.
pub(super) fn members(consensus: &Consensus, offered: Option<&str>) -> Vec<MemberKey> {
    let membership = consensus.metrics().membership_config;
    let mut names: BTreeMap<NodeId, String> = membership.nodes().map(|(id, node)| (*id, node.name.clone())).collect();
    {
        let state = consensus.published.state.read();
        names.extend(state.members().map(|member| (member.node_id, member.facts.name.clone())));
    }
    let member = |(node_id, name)| MemberKey { node_id, name, holding: holding(consensus, node_id, offered) };
    names.into_iter().map(member).collect()
}

fn holding(consensus: &Consensus, node_id: NodeId, offered: Option<&str>) -> Holding {
    let (sealed, told) = if node_id == consensus.node_id {
        (consensus.sealing_key.is_sealed(), told_to_pb(&consensus.sealing_key.told()))
    } else {
        match consensus.reports.fresh(node_id) {
            Some(report) => (report.sealed, report.sealing_keys),
            None => return Holding::Away,
        }
    };
    match offered {
        _ if sealed => Holding::Sealed,
        Some(id) if told.key_ids.iter().any(|kept| kept == id) => Holding::Keeps,
        _ => Holding::NotYet(told.problem),
    }
}

pub(super) fn told_to_pb(told: &KeysTold) -> pb::SealingKeys {
    pb::SealingKeys { key_ids: told.ids().cloned().collect(), problem: told.problem.clone() }
}

/// From a report, whose texts end up in logs and answers.
pub(super) fn told_from_pb(told: Option<pb::SealingKeys>) -> pb::SealingKeys {
    let mut told = told.unwrap_or_default();
    told.key_ids.retain(|id| SealingKey::is_id(id));
    told.key_ids.truncate(KEY_IDS_MAX);
    told.problem = told.problem.chars().filter(|char| !char.is_control()).take(PROBLEM_CHARS_MAX).collect();
    told
}

/// Asks the leader, which made it, and then whoever keeps it. Believes nothing but the key of that name.
pub(super) async fn fetch(consensus: &Consensus, id: &str, deadline: Instant) -> Result<SealingKey, SealingKeyError> {
    let mut reasons = Vec::new();
    for (node_id, node) in givers(consensus, id) {
        match ask(consensus, node_id, &node, id, deadline).await {
            Ok(key) => return Ok(key),
            Err(status) => reasons.push(format!("node {node_id} ({}): {}", node.name, status.message())),
        }
    }
    if reasons.is_empty() {
        reasons.push("none that has it answers".to_owned());
    }
    Err(SealingKeyError::NotGiven { reasons })
}

fn givers(consensus: &Consensus, id: &str) -> Vec<(NodeId, Node)> {
    let keeps = |node_id: NodeId| {
        let report = consensus.reports.fresh(node_id);
        report.is_some_and(|report| report.sealing_keys.key_ids.iter().any(|kept| kept == id))
    };
    let leader = match consensus.route() {
        Route::There(leader, node) => Some((leader, node)),
        Route::Here | Route::Nowhere => None,
    };
    let membership = consensus.metrics().membership_config;
    let mut asked: BTreeSet<NodeId> = [consensus.node_id].into();
    let others = membership.nodes().filter(|(node_id, _)| keeps(**node_id)).map(|(id, node)| (*id, node.clone()));
    leader.into_iter().chain(others).filter(|(node_id, _)| asked.insert(*node_id)).collect()
}

async fn ask(
    consensus: &Consensus,
    node_id: NodeId,
    node: &Node,
    id: &str,
    deadline: Instant,
) -> Result<SealingKey, Status> {
    let peers = consensus.peers.as_ref().ok_or_else(|| Status::unavailable("there is no peer port"))?;
    let mut peer = remote::leader(peers, node_id, node)?;
    let request = remote::until(deadline, pb::SealingKeyRequest { key_id: id.to_owned() });
    let answer = tokio::time::timeout_at(deadline, peer.sealing_key(request)).await;
    let answer = answer.map_err(|_| Status::deadline_exceeded("it does not answer"))??.into_inner();
    let sealed = SealedKey { keyring_term: answer.keyring_term, ciphertext: answer.ciphertext };
    let opened = with_keyring(consensus, |_, keyring| keyring.open(RecordType::SealingKey, id, &sealed))?;
    let key = SealingKey::from_secret(opened).ok_or_else(|| Status::internal("its answer is no sealing key"))?;
    if key.id().map_err(failed)? == id { Ok(key) } else { Err(Status::internal("its answer is another key")) }
}

/// For a member. The key in force is given to nobody, only the one that the keyring offers.
pub(super) fn give(consensus: &Consensus, id: &str) -> Result<pb::SealingKeyResponse, Status> {
    let sealed = with_keyring(consensus, |stored, keyring| {
        let is_offered = stored.next().and_then(NextSealingKey::id) == Some(id) && stored.sealing_key_id() != id;
        let key = consensus.sealing_key.named(id).filter(|_| is_offered);
        key.map(|key| keyring.seal(RecordType::SealingKey, id, key.secret())).transpose()
    })?;
    let sealed = sealed.ok_or_else(|| Status::not_found("this replica has no such key to give"))?;
    Ok(pb::SealingKeyResponse { keyring_term: sealed.keyring_term, ciphertext: sealed.ciphertext })
}

fn with_keyring<T>(
    consensus: &Consensus,
    act: impl FnOnce(&SealedKeyring, &steeple_ca::seal::Keyring) -> Result<T, SealError>,
) -> Result<T, Status> {
    let state = consensus.published.state.read();
    let key = consensus.sealing_key.of(&state).map_err(|sealed: ServerSealed| unavailable(&sealed))?;
    let stored = stored(&state).map_err(failed)?.ok_or_else(|| unavailable(&"the cluster has no keyring yet"))?;
    let keyring = open_keyring(&state, &key).map_err(failed)?;
    let keyring = keyring.ok_or_else(|| unavailable(&"the cluster has no keyring yet"))?;
    act(&stored, &keyring).map_err(failed)
}

fn stored(state: &State) -> Result<Option<SealedKeyring>, SealError> {
    state.keyring().map(|sealed| SealedKeyring::decode(&sealed.content)).transpose()
}

/// The id of the key that opens the keyring of `state`.
pub(super) fn in_force(state: &State) -> Option<String> {
    stored(state).ok().flatten().map(|keyring| keyring.sealing_key_id().to_owned())
}

/// What was applied up to `index` outlives a crash from now on: the identity is written and synced behind it, in the
/// one write-ahead log that there is.
pub(super) async fn make_durable(
    consensus: &Consensus,
    identity: &Identity,
    index: u64,
    deadline: Instant,
) -> Result<(), SealingKeyError> {
    if !consensus.applied_at_least(index, deadline).await {
        return Err(SealingKeyError::NotStored { index });
    }
    let identity = identity.clone();
    let written = tokio::task::spawn_blocking(move || identity.put(DURABLE_INDEX, &index.to_be_bytes())).await;
    Ok(written.map_err(|_| SealingKeyError::NotStored { index })??)
}

fn failed(error: SealError) -> Status {
    Status::new(Code::Internal, error.to_string())
}

fn unavailable(why: &dyn std::fmt::Display) -> Status {
    Status::unavailable(why.to_string())
}

/// Written for its sync.
const DURABLE_INDEX: &str = "durable_index";
/// The key in force and one to come.
const KEY_IDS_MAX: usize = 2;
/// A sentence with a path in it.
const PROBLEM_CHARS_MAX: usize = 1024;
