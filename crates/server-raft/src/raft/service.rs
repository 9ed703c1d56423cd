//! The `Cluster` service of the peer port: what members ask of each other beside consensus.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::status;
use steeple_api::steeple::peer as pb;
use steeple_api::steeple::peer::cluster_server;
use steeple_state::{CLUSTER_VERSION_MAX, codec as state_codec};
use steeple_storage::Storage;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::admit::Admission;
use super::consensus::Consensus;
use super::error::Refusal;
use super::handler::Handler;
use super::propose::Queue;
use super::read::read_index;
use super::remote::{HOPS, refusal_to_pb};
use super::{admin, change, codec, room, sealing_keys};
use crate::peer::{AcknowledgementHandler, PeerGuard, SIGN_ITEMS_MAX, SignError, SigningHandler};

/// No caller waits longer, whatever it says: a slot here must come free again.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

pub(super) struct ClusterService {
    pub(super) consensus: Arc<Consensus>,
    pub(super) storage: Storage,
    pub(super) queue: Queue,
    pub(super) guard: PeerGuard,
    pub(super) admission: Arc<Admission>,
    pub(super) signer: Arc<Handler<dyn SigningHandler>>,
    pub(super) acknowledgements: Arc<Handler<dyn AcknowledgementHandler>>,
    /// Signing is work of the server's own threads, not of those that answer heartbeats.
    pub(super) server_threads: Handle,
}

#[tonic::async_trait]
impl cluster_server::Cluster for ClusterService {
    async fn propose(&self, request: Request<pb::ProposeRequest>) -> Result<Response<pb::ProposeResponse>, Status> {
        self.guard.known_member(&request)?;
        let request = request.into_inner();
        check_hops(request.hops)?;
        let commands = state_codec::decode_commands(&request.command);
        let mut commands = commands.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (Some(command), true) = (commands.pop(), commands.is_empty()) else {
            return Err(Status::invalid_argument("one command is forwarded at a time"));
        };
        let result = match self.queue.submit(command, deadline(request.timeout_ms)).await {
            Ok(committed) => pb::propose_response::Result::Applied(pb::Applied {
                index: committed.index,
                outcome: state_codec::encode_outcome(&committed.outcome),
            }),
            Err(refusal) => pb::propose_response::Result::Refused(refusal_to_pb(&refusal)),
        };
        Ok(Response::new(pb::ProposeResponse { result: Some(result) }))
    }

    async fn read_index(
        &self,
        request: Request<pb::ReadIndexRequest>,
    ) -> Result<Response<pb::ReadIndexResponse>, Status> {
        self.guard.known_member(&request)?;
        let until = deadline(request.get_ref().timeout_ms);
        let index = tokio::time::timeout_at(until, read_index(&self.consensus)).await;
        match index {
            Ok(Some(index)) => {
                Ok(Response::new(pb::ReadIndexResponse { index, term: self.consensus.metrics().current_term }))
            }
            Ok(None) | Err(_) => Err(Status::unavailable("this replica does not lead, or no quorum confirmed it")),
        }
    }

    async fn sign(&self, request: Request<pb::SignRequest>) -> Result<Response<pb::SignResponse>, Status> {
        self.guard.known_member(&request)?;
        let request = request.into_inner();
        check_hops(request.hops)?;
        if request.items.len() > SIGN_ITEMS_MAX {
            return Err(Status::invalid_argument(format!("at most {SIGN_ITEMS_MAX} items are signed at once")));
        }
        let signer = self.signer.get().ok_or_else(|| Status::unavailable("this replica does not sign yet"))?;
        if !self.consensus.applied_at_least(request.applied_index, deadline(request.timeout_ms)).await {
            return Err(Status::unavailable("this replica lacks what the authorization was based on"));
        }
        let signing = self.server_threads.spawn(async move { signer.sign(request.items).await });
        let results = signing.await.map_err(|error| Status::internal(error.to_string()))?;
        let results = results.map_err(not_signed)?;
        Ok(Response::new(pb::SignResponse { results }))
    }

    async fn ping(&self, request: Request<pb::PingRequest>) -> Result<Response<pb::PingResponse>, Status> {
        self.consensus.reports.note_asked(self.guard.member(&request)?);
        let metrics = self.consensus.metrics();
        let (applied_index, hash) = self.consensus.published.hash();
        Ok(Response::new(pb::PingResponse {
            at_ms: self.consensus.clock.now().as_ms(),
            term: metrics.current_term,
            leader_id: metrics.current_leader.unwrap_or(0),
            last_log_index: metrics.last_log_index.unwrap_or(0),
            applied_index,
            state_hash: hash.to_bytes().to_vec(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            disk_nearly_full: room::is_nearly_full(&self.storage),
            cluster_version_max: CLUSTER_VERSION_MAX,
            checkpoint: Some(codec::checkpoint_to_pb(self.consensus.published.checkpoints().last())),
            sealed: self.consensus.sealing_key.is_sealed(),
            composers: self.signer.get().map(|signer| pb::Composers { described: signer.composers() }),
            sealing_keys: Some(sealing_keys::told_to_pb(&self.consensus.sealing_key.told())),
            disk_slow: self.consensus.disk_pace.is_slow(),
        }))
    }

    async fn admit(&self, request: Request<pb::AdmitRequest>) -> Result<Response<pb::JoinResponse>, Status> {
        self.guard.known_member(&request)?;
        let request = request.into_inner();
        check_hops(request.hops)?;
        let join = request.join.ok_or_else(|| Status::invalid_argument("the join is missing"))?;
        Ok(Response::new(self.admission.admit(join, &request.sealing_key_id, request.hops).await?))
    }

    async fn change_membership(
        &self,
        request: Request<pb::ChangeMembershipRequest>,
    ) -> Result<Response<pb::ChangeMembershipResponse>, Status> {
        self.guard.known_member(&request)?;
        let request = request.into_inner();
        check_hops(request.hops)?;
        let change = request.change.ok_or_else(|| Status::invalid_argument("the change is missing"))?;
        let until = deadline(request.timeout_ms);
        change::change_here(&self.consensus, &self.queue, change.into(), until).await?;
        Ok(Response::new(pb::ChangeMembershipResponse {}))
    }

    async fn finalize(&self, request: Request<pb::FinalizeRequest>) -> Result<Response<pb::FinalizeResponse>, Status> {
        self.guard.known_member(&request)?;
        let request = request.into_inner();
        check_hops(request.hops)?;
        let finalized = change::finalize_here(&self.consensus, &self.queue, deadline(request.timeout_ms)).await?;
        let change::Finalized { version, held_back_by } = finalized;
        Ok(Response::new(pb::FinalizeResponse { version, held_back_by }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipResponse>, Status> {
        self.guard.known_member(&request)?;
        let request = request.into_inner();
        check_hops(request.hops)?;
        let to = (request.to_node_id != 0).then_some(request.to_node_id);
        let until = deadline(request.timeout_ms);
        let leader_id = admin::transfer_here(&self.consensus, to, until).await.map_err(Status::from)?;
        Ok(Response::new(pb::TransferLeadershipResponse { leader_id }))
    }

    async fn sealing_key(
        &self,
        request: Request<pb::SealingKeyRequest>,
    ) -> Result<Response<pb::SealingKeyResponse>, Status> {
        let caller = self.guard.known_member(&request)?;
        let key_id = request.into_inner().key_id;
        let given = sealing_keys::give(&self.consensus, &key_id)?;
        tracing::info!(node_id = caller, sealing_key_id = key_id, "a member was given the new sealing key");
        Ok(Response::new(given))
    }

    /// Going through the agents is work of the server's own threads too.
    async fn acknowledgements(
        &self,
        request: Request<pb::AcknowledgementsRequest>,
    ) -> Result<Response<pb::AcknowledgementsResponse>, Status> {
        self.guard.known_member(&request)?;
        let request = request.into_inner();
        let handler = self.acknowledgements.get();
        let handler = handler.ok_or_else(|| Status::unavailable("this replica sees no agents yet"))?;
        let answer = self.server_threads.spawn(async move { handler.answer(&request) }).await;
        Ok(Response::new(answer.map_err(|error| Status::internal(error.to_string()))?))
    }
}

fn not_signed(error: SignError) -> Status {
    match error {
        SignError::Busy { why, retry_after } => status::resource_exhausted_for(why, retry_after),
        error => Status::unavailable(error.to_string()),
    }
}

fn check_hops(hops: u32) -> Result<(), Status> {
    if hops == HOPS { Ok(()) } else { Err(Status::invalid_argument("a request is forwarded once")) }
}

fn deadline(timeout_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(timeout_ms).min(TIMEOUT_MAX)
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        Self::unavailable(format!("{refusal:?}"))
    }
}
