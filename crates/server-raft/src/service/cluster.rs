//! `steeple.server.v1.Cluster`: the replicas, for administrators.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::steeple::server::cluster_server::Cluster as ClusterApi;
use steeple_api::steeple::server::*;
use steeple_state::{CLUSTER_VERSION_MAX, CommandKind, Outcome};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::clock;
use super::shared::Shared;
use crate::authz::authorized;
use crate::raft::{self, Change, FenceError, Finalized, Role};

pub struct ClusterService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl ClusterApi for ClusterService {
    /// From this replica's own knowledge, so that it answers without a quorum: that is when it is needed.
    async fn status(&self, _request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let status = self.shared.replica.status();
        Ok(Response::new(StatusResponse {
            cluster_uuid: status.cluster_uuid.map(|uuid| uuid::Uuid::from_bytes(uuid).to_string()).unwrap_or_default(),
            node_id: status.node_id,
            leader_id: status.leader_id.unwrap_or(0),
            term: status.term,
            applied_index: status.applied_index,
            state_hash: status.state_hash.to_string(),
            members: members(&status),
            failure_tolerance: u32::try_from(status.failure_tolerance).unwrap_or(u32::MAX),
            voters_target: status.voters_target,
            cluster_version: status.cluster_version,
            cluster_version_max: CLUSTER_VERSION_MAX,
            differing: u32::try_from(status.differing).unwrap_or(u32::MAX),
            stopped: status.stopped.unwrap_or_default(),
            voters: u32::try_from(status.voters.count).unwrap_or(u32::MAX),
            voters_answering: u32::try_from(status.voters.answering).unwrap_or(u32::MAX),
        }))
    }

    /// As every member says of itself now; who does not answer is shown as it was known last.
    async fn list(&self, _request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(ListResponse { members: members(&self.shared.replica.ask_members().await) }))
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<RemoveResponse>, Status> {
        let members = self.change(Change::Remove(request.into_inner().node_id)).await?;
        Ok(Response::new(RemoveResponse { members }))
    }

    async fn promote(&self, request: Request<PromoteRequest>) -> Result<Response<PromoteResponse>, Status> {
        let members = self.change(Change::Promote(request.into_inner().node_id)).await?;
        Ok(Response::new(PromoteResponse { members }))
    }

    async fn demote(&self, request: Request<DemoteRequest>) -> Result<Response<DemoteResponse>, Status> {
        let members = self.change(Change::Demote(request.into_inner().node_id)).await?;
        Ok(Response::new(DemoteResponse { members }))
    }

    async fn replace(&self, request: Request<ReplaceRequest>) -> Result<Response<ReplaceResponse>, Status> {
        let ReplaceRequest { old_node_id, new_node_id } = request.into_inner();
        let members = self.change(Change::Replace { old: old_node_id, new: new_node_id }).await?;
        Ok(Response::new(ReplaceResponse { members }))
    }

    async fn set_target(&self, request: Request<SetTargetRequest>) -> Result<Response<SetTargetResponse>, Status> {
        let members = self.change(Change::SetTarget(request.into_inner().voters)).await?;
        Ok(Response::new(SetTargetResponse { members }))
    }

    async fn finalize(&self, _request: Request<FinalizeRequest>) -> Result<Response<FinalizeResponse>, Status> {
        let Finalized { version, held_back_by } = self.shared.replica.finalize(deadline()).await?;
        Ok(Response::new(FinalizeResponse { version, held_back_by }))
    }

    async fn reset_clock(&self, request: Request<ResetClockRequest>) -> Result<Response<ResetClockResponse>, Status> {
        let caller = authorized(&request)?;
        let view = self.shared.fresh().await?;
        let reset = clock::reset(&view.state(), self.shared.clock.now());
        if !request.get_ref().apply {
            return Ok(Response::new(reset));
        }
        if !self.shared.replica.is_clock_agreed() {
            return Err(Status::failed_precondition(FenceError::ClockNotAgreed.to_string()));
        }
        // Join tokens go first, so many in each command.
        while let Outcome::Pruned { more: true, .. } = self.shared.propose(&caller, CommandKind::ResetClock).await? {}
        tracing::warn!(was_ms = reset.replicated_ms, now_ms = reset.now_ms, "the replicated clock was reset");
        Ok(Response::new(reset))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let to = Some(request.into_inner().node_id).filter(|id| *id != 0);
        let leader_id = self.shared.replica.transfer_leadership(to, deadline()).await?;
        let term = self.shared.replica.status().term;
        Ok(Response::new(TransferLeaderResponse { leader_id, term }))
    }
}

impl ClusterService {
    /// The members as they are when the change has taken effect.
    async fn change(&self, change: Change) -> Result<Vec<Member>, Status> {
        self.shared.replica.change_membership(change, deadline()).await?;
        tracing::info!(?change, "the membership was changed");
        Ok(members(&self.shared.replica.ask_members().await))
    }
}

fn members(status: &raft::Status) -> Vec<Member> {
    let members = status.members.iter().map(|member| Member {
        node_id: member.node_id,
        name: member.name.clone(),
        peer_address: member.peer_address.clone(),
        api_address: member.api_address.clone(),
        voter: member.role != Role::Learner,
        leader: member.role == Role::Leader,
        storage_uuid: uuid::Uuid::from_bytes(member.storage_uuid).to_string(),
        last_log: member.last_log_index,
        applied: member.applied_index,
        lag: status.last_log_index.saturating_sub(member.last_log_index),
        reachable: member.reachable,
        sealed: member.sealed,
        healthy: member.healthy,
        healthy_for_ms: member.healthy_for.map_or(0, millis),
        last_contact_ms: match member.last_contact {
            Some(ago) => i64::try_from(millis(ago)).unwrap_or(i64::MAX),
            None if member.node_id == status.node_id => 0,
            None => -1,
        },
        suffrage: match member.suffrage {
            steeple_state::Suffrage::Auto => Suffrage::Auto,
            steeple_state::Suffrage::Voter => Suffrage::Voter,
            steeple_state::Suffrage::Standby => Suffrage::Standby,
        } as i32,
        cluster_version_max: member.cluster_version_max.unwrap_or(0),
    });
    members.collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn deadline() -> Instant {
    Instant::now() + CHANGE_TIMEOUT
}

/// A change of the membership goes through two log entries and waits for the slowest of a quorum.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
