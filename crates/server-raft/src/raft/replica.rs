//! The handle that the rest of the server holds: one door to write, one to read, and watches.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use steeple_api::steeple::peer::{AcknowledgementsRequest, SignItem, SignResult};
use steeple_ca::seal::SealingKey;
use steeple_state::{CommandKind, Event, Outcome, RequestId, StateHash, Uuid};
use steeple_storage::{Identity, Kv};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::acknowledgement;
use super::admin;
use super::change::{self, Finalized};
use super::consensus::Consensus;
use super::error::{Failed, ProposeError, ReadError};
use super::fence::{Actors, Fence, FenceError};
use super::handler::Handler;
use super::leadership::Leadership;
use super::load_shed::{Busy, Place};
use super::membership_change::{Change, MembershipError};
use super::propose::Queue;
use super::read::{ReadIndexQueue, ReadMode, View};
use super::removed::Removed;
use super::runtime::RaftThreads;
use super::sealing_keys::{self, SealingKeyError};
use super::state_check::Divergence;
use super::state_lock::SharedState;
use super::status::{self, Status};
use super::types::NodeId;
use crate::peer::{AcknowledgementHandler, MemberAnswer, SignError, SigningHandler};
use crate::seal::MemberKey;

/// On whose behalf something is proposed, and for how long they wait.
#[derive(Clone, Debug)]
pub struct Origin {
    /// A SPIFFE ID, `local`, or the name of a driver. For the log's reader; it decides nothing.
    pub actor: String,
    /// A retry under the same id is answered with the first outcome. Drivers whose commands may be repeated use
    /// [`steeple_state::NO_REQUEST`].
    pub request_id: RequestId,
    pub deadline: Instant,
}

/// What one log entry changed.
#[derive(Clone, Debug, PartialEq)]
pub struct AppliedEvents {
    pub index: u64,
    /// When it was applied here.
    pub at: Instant,
    pub events: Vec<Event>,
    /// A snapshot replaced the whole state: whoever follows events starts again from the state.
    pub replaced: bool,
}

/// Log entries with events that a slow receiver may lag behind before it has to start again from the state.
pub(super) const EVENTS_QUEUE_MAX: usize = 1024;
/// How long a graceful stop tries to hand leadership over: an election and a little.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(3);

/// An entry that is applied is stored a moment later.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// One replica of the cluster, running. Clones are the same replica; when the last one is dropped it stops at once.
#[derive(Clone)]
pub struct Replica {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) consensus: Arc<Consensus>,
    pub(super) queue: Queue,
    pub(super) reads: ReadIndexQueue,
    pub(super) rows: Kv,
    pub(super) identity: Identity,
    pub(super) signer: Arc<Handler<dyn SigningHandler>>,
    pub(super) acknowledgements: Arc<Handler<dyn AcknowledgementHandler>>,
    pub(super) storage_uuid: Uuid,
    pub(super) peer_address: Option<SocketAddr>,
    pub(super) threads: RaftThreads,
}

impl Replica {
    /// The only door to write. Returns when a quorum holds the command on disk and *this* replica has applied it.
    ///
    /// On a follower the command is carried to the leader, with its actor and request id, and retried there until the
    /// deadline. A command that the state refuses is an `Ok(Outcome::Rejected(..))`.
    pub async fn propose(&self, kind: CommandKind, origin: Origin) -> Result<Outcome, ProposeError> {
        self.propose_indexed(kind, origin).await.map(|(_, outcome)| outcome)
    }

    /// As [`Self::propose`], for what a leader decides by its own clock: refused with [`ProposeError::NoLeader`] where
    /// another replica leads, and never carried to it.
    pub async fn propose_here(&self, kind: CommandKind, origin: Origin) -> Result<Outcome, ProposeError> {
        let committed = super::forward::propose_here(&self.inner.consensus, &self.inner.queue, kind, origin).await?;
        Ok(committed.outcome)
    }

    /// As [`Self::propose`], with the log index at which the command was applied.
    pub async fn propose_indexed(&self, kind: CommandKind, origin: Origin) -> Result<(u64, Outcome), ProposeError> {
        let committed = super::forward::propose(&self.inner.consensus, &self.inner.queue, kind, origin).await?;
        Ok((committed.index, committed.outcome))
    }

    /// The state as of now ([`ReadMode::Linearizable`]: it includes every write acknowledged anywhere before this call)
    /// or as this replica has it ([`ReadMode::Local`]).
    pub async fn read(&self, mode: ReadMode, deadline: Instant) -> Result<View, ReadError> {
        super::read::read(&self.inner.consensus, &self.inner.reads, mode, deadline).await
    }

    /// The state as this replica has it, without waiting for anything. Never hold its lock across an `.await`.
    pub fn state(&self) -> &SharedState {
        &self.inner.consensus.published.state
    }

    /// The same on disk, for whoever needs one instant of it while writes go on.
    pub fn rows(&self) -> &Kv {
        &self.inner.rows
    }

    /// The index up to which [`Self::state`] is complete.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.inner.consensus.published.applied.subscribe()
    }

    /// What each applied entry changed, from now on. A receiver that lags starts again from the state.
    pub fn events(&self) -> broadcast::Receiver<Arc<AppliedEvents>> {
        self.inner.consensus.published.events.subscribe()
    }

    /// Applied index and state hash of one instant. Equal on all replicas at equal indexes.
    pub fn state_hash(&self) -> (u64, StateHash) {
        self.inner.consensus.published.hash()
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.consensus.leadership.clone()
    }

    /// What the leader had applied when this replica last heard of it, if that was within the last `within`. A replica
    /// that has applied it too is no older than that.
    pub fn leader_applied(&self, within: Duration) -> Option<u64> {
        super::contact::leader_applied(&self.inner.consensus, within)
    }

    /// Whether the quorum's clocks say that this one is wrong. Such a replica decides nothing by the time.
    pub fn has_wrong_clock(&self) -> bool {
        self.inner.consensus.has_wrong_clock()
    }

    /// Whether this replica should not lead, because of how its disk syncs.
    pub fn has_slow_disk(&self) -> bool {
        self.inner.consensus.disk_pace.is_slow()
    }

    /// Whether a quorum goes by the same time as this replica.
    pub fn is_clock_agreed(&self) -> bool {
        self.inner.consensus.is_clock_agreed()
    }

    /// As [`Self::has_wrong_clock`], or it may have jumped ahead a moment ago: what ends by it has not ended then.
    pub fn clock_may_be_ahead(&self) -> bool {
        self.inner.consensus.may_be_ahead()
    }

    /// The right to act outside the log at this moment, such as to sign. Check it again afterwards.
    pub async fn fence(&self, actors: Actors) -> Result<Fence, FenceError> {
        super::fence::acquire(&self.inner.consensus, &self.inner.reads, actors).await
    }

    /// Whether the right that `fence` stands for is still there: the leader that took it leads and hears from a quorum,
    /// or a quorum confirms that this voter has applied what was acknowledged.
    pub async fn check(&self, fence: &Fence) -> Result<(), FenceError> {
        super::fence::check(&self.inner.consensus, &self.inner.reads, fence).await
    }

    /// Room for so many signatures with P-256, until it is dropped.
    pub fn admit_signing(&self, weight: usize) -> Result<Place, Busy> {
        self.inner.consensus.load.sign(weight)
    }

    /// Room for the attestation of one node.
    pub fn admit_attestation(&self) -> Result<Place, Busy> {
        self.inner.consensus.load.attest()
    }

    /// Signs `items`, here or at the leader. One result for each item, in order.
    pub async fn forward_sign(&self, items: Vec<SignItem>, deadline: Instant) -> Result<Vec<SignResult>, SignError> {
        super::sign::forward(&self.inner.consensus, &self.inner.signer, items, deadline).await
    }

    /// Who signs for this replica and for its followers while it leads. Set once, by the issuing module.
    pub fn set_signing_handler(&self, handler: Arc<dyn SigningHandler>) {
        self.inner.signer.set(handler);
    }

    /// Asks every member which of its agents hold the bundle. Members that are silent are in the answer as such.
    pub async fn ask_acknowledgements(
        &self,
        request: &AcknowledgementsRequest,
        deadline: Instant,
    ) -> Vec<MemberAnswer> {
        acknowledgement::ask(&self.inner.consensus, &self.inner.acknowledgements, request, deadline).await
    }

    /// Who answers that question for this replica. Set once, by the module that sees the agents.
    pub fn set_acknowledgement_handler(&self, handler: Arc<dyn AcknowledgementHandler>) {
        self.inner.acknowledgements.set(handler);
    }

    /// Every member, and whether it keeps the sealing key of that name, as this replica has heard.
    pub fn sealing_key_members(&self, offered: Option<&str>) -> Vec<MemberKey> {
        sealing_keys::members(&self.inner.consensus, offered)
    }

    /// The sealing key that the keyring offers, from a member that has it.
    pub async fn fetch_sealing_key(&self, id: &str, deadline: Instant) -> Result<SealingKey, SealingKeyError> {
        sealing_keys::fetch(&self.inner.consensus, id, deadline).await
    }

    /// Returns when what was applied up to `index` outlives a crash.
    pub async fn make_durable(&self, index: u64) -> Result<(), SealingKeyError> {
        let deadline = Instant::now() + STORE_TIMEOUT;
        sealing_keys::make_durable(&self.inner.consensus, &self.inner.identity, index, deadline).await
    }

    /// This replica and the cluster as it knows them.
    pub fn status(&self) -> Status {
        status::of(&self.inner.consensus)
    }

    /// As [`Self::status`], with what every other member that answers says of itself now. Takes a second at most.
    pub async fn ask_members(&self) -> Status {
        status::asked(&self.inner.consensus).await
    }

    /// Resolves when this replica is no member of the cluster any more.
    pub async fn removed(&self) -> Removed {
        self.inner.consensus.removed.wait().await
    }

    /// Resolves when this replica's state is known to differ from that of a quorum.
    pub async fn diverged(&self) -> Divergence {
        self.inner.consensus.comparison.wait().await
    }

    /// As [`Self::diverged`], as of now.
    pub fn divergence(&self) -> Option<Divergence> {
        self.inner.consensus.comparison.divergence()
    }

    /// Resolves when the consensus of this replica has stopped by itself. It serves nothing any more; only a new start
    /// helps, after what it names is mended.
    pub async fn failed(&self) -> Failed {
        self.inner.consensus.failed().await
    }

    /// Changes the membership, and returns when that took effect. Refused when it would lose the quorum.
    pub async fn change_membership(&self, change: Change, deadline: Instant) -> Result<(), MembershipError> {
        change::change(&self.inner.consensus, &self.inner.queue, change, deadline).await
    }

    /// Raises the cluster version to what every member can follow.
    pub async fn finalize(&self, deadline: Instant) -> Result<Finalized, MembershipError> {
        change::finalize(&self.inner.consensus, &self.inner.queue, deadline).await
    }

    /// Hands leadership to `to`, or to the voter that holds most of the log. Returns who leads then.
    pub async fn transfer_leadership(&self, to: Option<NodeId>, deadline: Instant) -> Result<NodeId, MembershipError> {
        admin::transfer(&self.inner.consensus, to, deadline).await
    }

    /// Stops: a leader hands over first, so that the others need no election.
    pub async fn shutdown(&self) {
        self.hand_over().await;
        self.halt().await;
    }

    /// A leader sees to it that another replica leads, as far as one can and as long as one may wait.
    pub async fn hand_over(&self) {
        if self.leadership().borrow().leader == Some(self.node_id()) {
            let deadline = Instant::now() + HAND_OVER_TIMEOUT;
            match admin::transfer_here(&self.inner.consensus, None, deadline).await {
                Ok(_) | Err(MembershipError::NoSuccessor) => {}
                Err(error) => tracing::warn!(%error, "leadership was not handed over"),
            }
        }
    }

    /// Forgets its handlers, which hold it: where it ends without [`Self::halt`], as in a crash that is only played.
    pub fn let_go(&self) {
        self.inner.signer.forget();
        self.inner.acknowledgements.forget();
    }

    /// Stops at once, without a word to the others; for tests, which play a crash with it, and for lost storage.
    pub async fn halt(&self) {
        let consensus = Arc::clone(&self.inner.consensus);
        let stopped = self.inner.threads.run(async move { consensus.raft.shutdown().await });
        self.let_go();
        // Every way to fail here means that it has stopped already.
        let _ = stopped.await;
        self.inner.threads.stop().await;
    }

    pub fn node_id(&self) -> NodeId {
        self.inner.consensus.node_id
    }

    pub fn storage_uuid(&self) -> Uuid {
        self.inner.storage_uuid
    }

    /// Where this replica listens for peers.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.inner.peer_address
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Replica({})", self.node_id())
    }
}
