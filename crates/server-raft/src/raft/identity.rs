//! What a data directory remembers of itself: its storage UUID, and which node of which cluster it is.

use steeple_state::Uuid;
use steeple_storage::{Identity, Storage};

use super::error::StartError;
use super::types::NodeId;

/// The first member of a cluster; every later id is allocated by the log.
pub(super) const NODE_ID_FIRST: NodeId = 1;

const STORAGE_UUID: &str = "storage_uuid";
const CLUSTER_UUID: &str = "cluster_uuid";
const NODE_ID: &str = "node_id";
const FOUNDING: &str = "founding";
const ORIGIN: &str = "origin";
const ORIGIN_BOOTSTRAP: &[u8] = b"bootstrap";
const ORIGIN_JOIN: &[u8] = b"join";

/// A directory that belongs to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) cluster_uuid: Uuid,
    pub(super) node_id: NodeId,
    /// This directory founded the cluster, and repeats that should it have been interrupted.
    pub(super) founder: bool,
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
    let founder = match identity.get(ORIGIN)?.as_deref() {
        Some(ORIGIN_BOOTSTRAP) => true,
        Some(ORIGIN_JOIN) => false,
        _ => return Err(unreadable(ORIGIN)),
    };
    let cluster_uuid = uuid(&cluster_uuid, CLUSTER_UUID)?;
    Ok(Some(Membership { cluster_uuid, node_id: NodeId::from_be_bytes(node_id), founder }))
}

/// All or nothing, durable on return: from now on this directory is this node.
pub(super) fn remember(identity: &Identity, membership: &Membership) -> Result<(), StartError> {
    let origin = if membership.founder { ORIGIN_BOOTSTRAP } else { ORIGIN_JOIN };
    identity.put_all(&[
        (CLUSTER_UUID, &membership.cluster_uuid),
        (NODE_ID, &membership.node_id.to_be_bytes()),
        (ORIGIN, origin),
    ])?;
    Ok(())
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
