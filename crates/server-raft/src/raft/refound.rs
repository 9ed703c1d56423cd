//! The first member of a cluster that begins anew with an earlier state: what a restore and a recovery write, offline.
//!
//! ```text
//!   state of the earlier cluster
//!     │ new cluster UUID, new keyring, new peer CA; signing keys sealed again; one member     refound
//!     ▼
//!   rows, applied index, one voter ─► an empty store ─► snapshot, purged log, vote, identity   write
//! ```
//!
//! The new log begins behind the state, so members that join are sent the snapshot. What the earlier cluster signed for
//! its peers opens nothing here: its peer CA is not trusted, and its UUID is another one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use steeple_ca::seal::{SealError, SealedKeyring, SealingKey};
use steeple_core::{AuthorityKind, Timestamp};
use steeple_state::{MemberFacts, Refounded, Refounding, Rejection, State, Uuid};
use steeple_storage::{Batch, Storage, StorageError};

use super::beginning::{self, Beginning};
use super::error::StartError;
use super::identity::{self, Membership as Belonging, Origin};
use super::state_machine::{META_LAST_APPLIED, META_MEMBERSHIP};
use super::types::{LeaderId, LogId, Membership, Node, NodeId, StoredMembership, Vote};
use super::{codec, open_keyring, peer_ca};
use crate::peer::AuthorityError;
use crate::watched::Watcher;

/// Who makes a cluster begin anew, and by which command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    pub command: &'static str,
    pub uid: u32,
}

/// What the operator of the new cluster decides.
pub struct NewCluster<'a> {
    pub sealing_key: &'a SealingKey,
    /// Of the only member; its storage UUID is made here.
    pub name: String,
    pub peer_address: String,
    pub api_address: String,
    /// Whether the signing keys are to be replaced as soon as verifiers can know their successors.
    pub rotate: bool,
    pub by: Operator,
    pub now: Timestamp,
}

/// A state that is ready to be written.
pub struct Reborn {
    pub state: State,
    pub cluster_uuid: Uuid,
    pub done: Refounded,
    pub beginning: Beginning,
    facts: MemberFacts,
}

#[derive(Debug, thiserror::Error)]
pub enum RefoundError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the state has no keyring: it was saved before its cluster was initialised; use a later one")]
    NoKeyring,
    #[error("the peers' authority could not be made: {0}")]
    PeerCa(#[from] AuthorityError),
    #[error("the state refuses: {0}")]
    State(#[from] Rejection),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the membership is not valid: {0}")]
    Membership(String),
    #[error(transparent)]
    Identity(#[from] StartError),
    #[error("{0}")]
    Record(#[from] io::Error),
}

/// Decides everything; writes nothing.
pub fn refound(mut state: State, new: &NewCluster<'_>) -> Result<Reborn, RefoundError> {
    let cluster_uuid = identity::new_uuid();
    let beginning = Beginning {
        by: new.by.command.to_owned(),
        uid: new.by.uid,
        at_ms: new.now.as_ms(),
        cluster_uuid: state.cluster().map(|cluster| cluster.uuid).unwrap_or_default(),
        index: state.applied_index(),
        backup_id: String::new(),
    };
    let earlier = open_keyring(&state, new.sealing_key)?.ok_or(RefoundError::NoKeyring)?;
    let sealed = peer_ca::found(&cluster_uuid, new.sealing_key, new.now)?;
    let keyring = SealedKeyring::decode(&sealed.keyring)?.open(new.sealing_key, &cluster_uuid)?;

    let mut keys = BTreeMap::new();
    for kind in AuthorityKind::ALL {
        let set = state.authorities(kind);
        let with_key = |authority: &&steeple_core::Authority| !authority.key.ciphertext.is_empty();
        for authority in [&set.active, &set.next].into_iter().flatten().filter(with_key) {
            let key = earlier.open(kind.into(), &authority.id, &authority.key)?;
            keys.insert((kind, authority.id.clone()), keyring.seal(kind.into(), &authority.id, &key)?);
        }
    }
    let facts = MemberFacts {
        storage_uuid: identity::new_uuid(),
        name: new.name.clone(),
        peer_address: new.peer_address.clone(),
        api_address: new.api_address.clone(),
    };
    let refounding = Refounding {
        cluster_uuid,
        keyring: sealed.keyring,
        peer_ca: sealed.peer_ca,
        keys,
        first: facts.clone(),
        at: new.now,
        rotate: new.rotate,
    };
    let done = state.refound(&refounding)?;
    Ok(Reborn { state, cluster_uuid, done, beginning, facts })
}

/// Fills an empty store so that a server that starts on it is the only voter. `term` is the last one of the earlier
/// cluster, 0 where that is not known. Durable on return.
pub fn write(storage: &Storage, reborn: &Reborn, term: u64, watcher: Watcher<'_>) -> Result<(), RefoundError> {
    let node_id = reborn.done.node_id;
    let leader = LeaderId { term: term.saturating_add(1), node_id };
    let last = LogId::new(leader, reborn.done.index);
    let last_record = codec::to_record(&codec::log_id_to_pb(&last));

    let kv = storage.kv();
    let mut batch = Batch::new();
    let mut batch_rows = 0;
    let (mut rows, rows_total) = (0, reborn.state.row_count());
    for (table, key, value) in reborn.state.rows() {
        batch.put(table.number(), &key, &value)?;
        batch_rows += 1;
        if batch_rows == BATCH_ROWS {
            kv.write(std::mem::take(&mut batch))?;
            rows += batch_rows as u64;
            batch_rows = 0;
            watcher(rows, rows_total);
        }
    }
    batch.applied(reborn.done.index);
    batch.meta(META_LAST_APPLIED, &last_record);
    batch.meta(META_MEMBERSHIP, &codec::to_record(&codec::stored_membership_to_pb(&only_voter(reborn, last)?)));
    kv.write(batch)?;

    let vote = Vote { leader_id: leader, committed: false };
    let log = storage.log();
    log.save_committed(last_record.clone())?;
    log.purge_to(reborn.done.index, last_record)?;
    storage.snapshots().build()?;
    log.save_vote(codec::to_record(&codec::vote_to_pb(&vote)))?;
    beginning::remember(storage, &reborn.beginning)?;
    let belonging = Belonging { cluster_uuid: reborn.cluster_uuid, node_id, origin: Origin::Refounded };
    // The last word, and synced: one write-ahead log, so all of the above is durable with it.
    identity::remember_all(&storage.identity(), &reborn.facts.storage_uuid, &belonging)?;
    watcher(rows_total, rows_total);
    Ok(())
}

fn only_voter(reborn: &Reborn, last: LogId) -> Result<StoredMembership, RefoundError> {
    let node_id: NodeId = reborn.done.node_id;
    let facts = &reborn.facts;
    let node = Node { name: facts.name.clone(), address: facts.peer_address.clone(), storage_uuid: facts.storage_uuid };
    let membership = Membership::new(vec![BTreeSet::from([node_id])], BTreeMap::from([(node_id, node)]))
        .map_err(|error| RefoundError::Membership(error.to_string()))?;
    Ok(StoredMembership::new(Some(last), membership))
}

/// Rows in one batch: far below its limit of 64 MiB, unless all of them are of the longest kind.
const BATCH_ROWS: usize = 1_000;
