//! `steeple.server.v1.Cluster`: the replicas, for administrators.

use std::sync::Arc;
use std::time::{Duration, Instant};

use steeple_api::steeple::server::cluster_server::Cluster as ClusterApi;
use steeple_api::steeple::server::*;
use tonic::{Code, Request, Response, Status};

use super::shared::Shared;
use crate::raft::{self, MembershipError, Role};

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
            differing: u32::try_from(status.differing).unwrap_or(u32::MAX),
            stopped: status.stopped.unwrap_or_default(),
        }))
    }

    /// As every member says of itself now; who does not answer is shown as it was known last.
    async fn list(&self, _request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(ListResponse { members: members(&self.shared.replica.ask_members().await) }))
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<RemoveResponse>, Status> {
        let node_id = request.into_inner().node_id;
        self.shared.replica.remove_member(node_id, deadline()).await.map_err(|error| failed(&error))?;
        tracing::info!(node_id, "cluster member removed");
        Ok(Response::new(RemoveResponse { members: members(&self.shared.replica.ask_members().await) }))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let to = Some(request.into_inner().node_id).filter(|id| *id != 0);
        let leader_id =
            self.shared.replica.transfer_leadership(to, deadline()).await.map_err(|error| failed(&error))?;
        let term = self.shared.replica.status().term;
        Ok(Response::new(TransferLeaderResponse { leader_id, term }))
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
    });
    members.collect()
}

fn failed(error: &MembershipError) -> Status {
    let code = match error {
        MembershipError::NoLeader => Code::Unavailable,
        MembershipError::UnknownMember(_) => Code::NotFound,
        MembershipError::WouldLoseQuorum { .. }
        | MembershipError::LastVoter(_)
        | MembershipError::NotReady(_)
        | MembershipError::NoSuccessor => Code::FailedPrecondition,
        MembershipError::Timeout => Code::DeadlineExceeded,
        MembershipError::Refused(_) => Code::Internal,
    };
    Status::new(code, error.to_string())
}

fn deadline() -> Instant {
    Instant::now() + CHANGE_TIMEOUT
}

/// A change of the membership goes through two log entries and waits for the slowest of a quorum.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
