//! What a data directory remembers of itself: its storage UUID, and which node of which cluster it is.

use std::collections::BTreeMap;

use steeple_core::Secret;
use steeple_state::{StateHash, Uuid};
use steeple_storage::{Identity, Storage, StorageError};

use super::error::StartError;
use super::state_check::Divergence;
use super::types::NodeId;
use crate::peer::CertifiedPeerKey;

/// The first member of a cluster; every later id is allocated by the log.
pub(super) const NODE_ID_FIRST: NodeId = 1;

const STORAGE_UUID: &str = "storage_uuid";
const CLUSTER_UUID: &str = "cluster_uuid";
const NODE_ID: &str = "node_id";
const FOUNDING: &str = "founding";
const ORIGIN: &str = "origin";
const DIVERGENCE: &str = "divergence";
const ANSWERING_CERTIFICATE: &str = "answering_certificate";
const ANSWERING_KEY: &str = "answering_key";
const ORIGIN_BOOTSTRAP: &[u8] = b"bootstrap";
const ORIGIN_JOIN: &[u8] = b"join";
const ORIGIN_REFOUNDED: &[u8] = b"refounded";

/// A directory that belongs to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) cluster_uuid: Uuid,
    pub(super) node_id: NodeId,
    pub(super) origin: Origin,
}

/// How a directory came to its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It founded the cluster, and repeats that should it have been interrupted.
    Founded,
    Joined,
    /// A restore or a recovery wrote it.
    Refounded,
}

impl Membership {
    pub(super) fn is_founder(&self) -> bool {
        self.origin == Origin::Founded
    }
}

/// The UUID of this directory, made when it is first asked for.
pub(super) fn storage_uuid(identity: &Identity) -> Result<Uuid, StartError> {
    match identity.get(STORAGE_UUID)? {
        Some(stored) => uuid(&stored, STORAGE_UUID),
        None => {
            let fresh = new_uuid();
            identity.put(STORAGE_UUID, &fresh)?;
            Ok(fresh)
        }
    }
}

/// Whether this directory belongs to a cluster already, founded or joined.
pub fn is_member(storage: &Storage) -> Result<bool, StartError> {
    Ok(membership(&storage.identity())?.is_some())
}

/// Before a founder makes its sealing key, so that an interrupted founding can tell its own key from a cluster's.
pub fn begin_founding(storage: &Storage) -> Result<(), StartError> {
    Ok(storage.identity().put(FOUNDING, b"begun")?)
}

/// Whether [`begin_founding`] was called on this directory.
pub fn has_begun_founding(storage: &Storage) -> Result<bool, StartError> {
    Ok(storage.identity().get(FOUNDING)?.is_some())
}

pub(super) fn membership(identity: &Identity) -> Result<Option<Membership>, StartError> {
    let Some(node_id) = identity.get(NODE_ID)? else { return Ok(None) };
    let node_id = node_id.as_slice().try_into().map_err(|_| unreadable(NODE_ID))?;
    let cluster_uuid = identity.get(CLUSTER_UUID)?.ok_or_else(|| unreadable(CLUSTER_UUID))?;
    let origin = match identity.get(ORIGIN)?.as_deref() {
        Some(ORIGIN_BOOTSTRAP) => Origin::Founded,
        Some(ORIGIN_JOIN) => Origin::Joined,
        Some(ORIGIN_REFOUNDED) => Origin::Refounded,
        _ => return Err(unreadable(ORIGIN)),
    };
    let cluster_uuid = uuid(&cluster_uuid, CLUSTER_UUID)?;
    Ok(Some(Membership { cluster_uuid, node_id: NodeId::from_be_bytes(node_id), origin }))
}

/// All or nothing, durable on return: from now on this directory is this node.
pub(super) fn remember(identity: &Identity, membership: &Membership) -> Result<(), StartError> {
    Ok(identity.put_all(&values(membership, &membership.node_id.to_be_bytes()))?)
}

/// As [`remember`], for a directory that has no UUID yet.
pub(super) fn remember_all(
    identity: &Identity,
    storage_uuid: &Uuid,
    membership: &Membership,
) -> Result<(), StartError> {
    let node_id = membership.node_id.to_be_bytes();
    let mut all = values(membership, &node_id).to_vec();
    all.push((STORAGE_UUID, storage_uuid));
    Ok(identity.put_all(&all)?)
}

/// Durable on return: this directory's state is not that of the cluster, whatever starts from it.
pub(super) fn remember_divergence(
    identity: &Identity,
    cluster_uuid: &Uuid,
    found: &Divergence,
) -> Result<(), StartError> {
    let index = found.index.to_be_bytes();
    let value = [&cluster_uuid[..], &index, &found.ours.to_bytes(), &found.theirs.to_bytes()].concat();
    Ok(identity.put(DIVERGENCE, &value)?)
}

/// What was found out about this directory while it was of this cluster; a recovery makes its state the right one.
pub(super) fn divergence(
    identity: &Identity,
    cluster_uuid: &Uuid,
    node_id: NodeId,
) -> Result<Option<Divergence>, StartError> {
    let Some(stored) = identity.get(DIVERGENCE)? else { return Ok(None) };
    let value: &[u8; 88] = stored.as_slice().try_into().map_err(|_| unreadable(DIVERGENCE))?;
    let part = |from: usize| value[from..].first_chunk().ok_or_else(|| unreadable(DIVERGENCE));
    let index = value[16..].first_chunk().map(|index| u64::from_be_bytes(*index));
    let index = index.ok_or_else(|| unreadable(DIVERGENCE))?;
    let [ours, theirs] = [StateHash::from_bytes(part(24)?), StateHash::from_bytes(part(56)?)];
    Ok(value.starts_with(cluster_uuid).then_some(Divergence { node_id, index, ours, theirs }))
}

fn values<'a>(membership: &'a Membership, node_id: &'a [u8]) -> [(&'static str, &'a [u8]); 3] {
    let origin = match membership.origin {
        Origin::Founded => ORIGIN_BOOTSTRAP,
        Origin::Joined => ORIGIN_JOIN,
        Origin::Refounded => ORIGIN_REFOUNDED,
    };
    [(CLUSTER_UUID, &membership.cluster_uuid), (NODE_ID, node_id), (ORIGIN, origin)]
}

/// What a start without the sealing key shows to peers. Its key opens nothing that this directory does not hold: the
/// certificate is good for answering members, who come by address and say what to store.
pub(super) fn keep_answering(identity: &Identity, certified: &CertifiedPeerKey) -> Result<(), StorageError> {
    identity.put_all(&[(ANSWERING_CERTIFICATE, &certified.certificate), (ANSWERING_KEY, certified.key.expose())])
}

pub(super) fn answering(identity: &Identity) -> Result<Option<CertifiedPeerKey>, StorageError> {
    let (Some(certificate), Some(key)) = (identity.get(ANSWERING_CERTIFICATE)?, identity.get(ANSWERING_KEY)?) else {
        return Ok(None);
    };
    Ok(Some(CertifiedPeerKey { certificate, key: Secret::new(key) }))
}

/// Whether a member can start on this directory without its sealing key. Not before it was told by the log who its
/// peers are, and had the key then.
pub fn may_start_sealed(storage: &Storage) -> Result<bool, StartError> {
    Ok(answering(&storage.identity())?.is_some())
}

pub(super) fn new_uuid() -> Uuid {
    uuid::Uuid::new_v4().into_bytes()
}

fn uuid(stored: &[u8], name: &'static str) -> Result<Uuid, StartError> {
    stored.try_into().map_err(|_| unreadable(name))
}

fn unreadable(name: &str) -> StartError {
    StartError::State(format!("the {name} of this data directory; restore it from a backup, or start on an empty one"))
}

/// What an inspection shows of it; what cannot be read is missing.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) cluster_uuid: Option<String>,
    pub(super) storage_uuid: Option<String>,
    pub(super) node_id: Option<NodeId>,
}

pub(super) fn shown(values: &BTreeMap<String, Vec<u8>>) -> Shown {
    let uuid = |name: &str| Some(uuid::Uuid::from_slice(values.get(name)?).ok()?.to_string());
    let node_id = values.get(NODE_ID).and_then(|id| id.as_slice().try_into().ok());
    Shown {
        cluster_uuid: uuid(CLUSTER_UUID),
        storage_uuid: uuid(STORAGE_UUID),
        node_id: node_id.map(NodeId::from_be_bytes),
    }
}
