//! The peers' side of the consensus: what other replicas may ask of this one.
//!
//! openraft cannot tell who speaks to it. Here every message is checked against the identity of its connection: a
//! replica speaks for itself only.

use std::io;
use std::sync::{Arc, OnceLock};

use futures::stream::{self, StreamExt};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::raft::{AppendEntriesRequest, SnapshotResponse};
use steeple_api::steeple::peer as pb;
use steeple_api::steeple::peer::raft_server;
use steeple_storage::{SnapshotFile, Snapshots, StorageError};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::codec::{self, CodecError};
use super::consensus::Consensus;
use super::types::{NodeId, Raft, SnapshotMeta, TypeConfig, Vote};
use super::wire;
use crate::metrics::SnapshotTimer;
use crate::peer::PeerGuard;

pub(crate) struct RaftService {
    consensus: Arc<Consensus>,
    raft: Raft,
    snapshots: Snapshots,
    guard: PeerGuard,
}

impl RaftService {
    pub(super) fn new(consensus: Arc<Consensus>, snapshots: Snapshots, guard: PeerGuard) -> Self {
        Self { raft: consensus.raft.clone(), consensus, snapshots, guard }
    }
}

#[tonic::async_trait]
impl raft_server::Raft for RaftService {
    async fn append_entries(
        &self,
        request: Request<pb::AppendEntriesRequest>,
    ) -> Result<Response<pb::AppendEntriesResponse>, Status> {
        let caller = self.guard.member(&request)?;
        let rpc = wire::append_request_from_pb(request.into_inner()).map_err(invalid)?;
        speaks_for_itself(caller, &rpc.vote)?;
        check_stamps(&self.consensus, &rpc)?;
        let answer = self.raft.append_entries(rpc).await.map_err(failed)?;
        Ok(Response::new(wire::append_response_to_pb(&answer)))
    }

    async fn stream_append(
        &self,
        request: Request<Streaming<pb::AppendEntriesRequest>>,
    ) -> Result<Response<BoxStream<pb::StreamAppendResponse>>, Status> {
        self.guard.member(&request)?;
        let peer = *self.guard.peer(&request)?;
        let (consensus, guard) = (Arc::clone(&self.consensus), self.guard.clone());
        let refused = Arc::new(OnceLock::new());
        let refusal = Arc::clone(&refused);
        let checked = request.into_inner().map(move |rpc| {
            // The stream outlives memberships, so each message is judged by the one of its moment.
            let caller = guard.standing(&peer)?;
            let rpc = wire::append_request_from_pb(rpc?).map_err(invalid)?;
            speaks_for_itself(caller, &rpc.vote)?;
            check_stamps(&consensus, &rpc)?;
            Ok(rpc)
        });
        // What was taken before a refusal is answered before it.
        let taken = checked.scan(refused, |refused, rpc: Result<_, Status>| {
            // An error is the last message, so nothing was put there before.
            std::future::ready(rpc.map_err(|status| drop(refused.set(status))).ok())
        });
        let answers = self.raft.stream_append(taken).map(|answer| match answer {
            Ok(answer) => Ok(wire::stream_append_to_pb(&answer)),
            Err(fatal) => Err(failed(fatal)),
        });
        let last = stream::iter(std::iter::from_fn(move || refusal.get().cloned().map(Err))).take(1);
        Ok(Response::new(answers.chain(last).boxed()))
    }

    async fn vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteResponse>, Status> {
        let caller = self.guard.member(&request)?;
        let rpc = wire::vote_request_from_pb(request.get_ref()).map_err(invalid)?;
        speaks_for_itself(caller, &rpc.vote)?;
        let answer = self.raft.vote(rpc).await.map_err(failed)?;
        Ok(Response::new(wire::vote_response_to_pb(&answer)))
    }

    async fn pre_vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteResponse>, Status> {
        let caller = self.guard.member(&request)?;
        let rpc = wire::vote_request_from_pb(request.get_ref()).map_err(invalid)?;
        speaks_for_itself(caller, &rpc.vote)?;
        let answer = self.raft.pre_vote(rpc).await.map_err(failed)?;
        Ok(Response::new(wire::vote_response_to_pb(&answer)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotFrame>>,
    ) -> Result<Response<pb::InstallSnapshotResponse>, Status> {
        let caller = self.guard.member(&request)?;
        let mut frames = request.into_inner();
        let (vote, meta) = header(&mut frames).await?;
        speaks_for_itself(caller, &vote)?;
        let timer = SnapshotTimer::received();
        let installed = self.receive_and_install(vote, meta, &mut frames).await;
        timer.done(installed.as_ref().ok().map(|(_, size_bytes)| *size_bytes));
        let (answer, _) = installed?;
        Ok(Response::new(pb::InstallSnapshotResponse { vote: Some(codec::vote_to_pb(&answer.vote)) }))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        let caller = self.guard.member(&request)?;
        let rpc = wire::transfer_request_from_pb(request.get_ref()).map_err(invalid)?;
        speaks_for_itself(caller, rpc.from_leader())?;
        if rpc.to_node_id() == &self.consensus.node_id {
            self.consensus.sealing_key.check().map_err(|sealed| Status::failed_precondition(sealed.to_string()))?;
        }
        let answer = self.raft.handle_transfer_leader(rpc).await.map_err(failed)?;
        Ok(Response::new(wire::transfer_response_to_pb(&answer)))
    }
}

impl RaftService {
    /// Its size as well.
    async fn receive_and_install(
        &self,
        vote: Vote,
        meta: SnapshotMeta,
        frames: &mut Streaming<pb::SnapshotFrame>,
    ) -> Result<(SnapshotResponse<TypeConfig>, u64), Status> {
        let file = self.receive(frames).await?;
        let size_bytes = file.info().size_bytes;
        let snapshot = openraft::Snapshot { meta, snapshot: file };
        Ok((self.raft.install_full_snapshot(vote, snapshot).await.map_err(failed)?, size_bytes))
    }

    /// Writes the chunks to disk as they come, and verifies the whole. No thread waits for the network meanwhile.
    async fn receive(&self, frames: &mut Streaming<pb::SnapshotFrame>) -> Result<SnapshotFile, Status> {
        let mut incoming = self.snapshots.receive().map_err(unstored)?;
        let mut size_bytes = 0;
        loop {
            match frames.message().await?.and_then(|frame| frame.frame) {
                Some(pb::snapshot_frame::Frame::Chunk(chunk)) => {
                    size_bytes += chunk.len() as u64;
                    incoming = on_disk(move || incoming.write(&chunk).map(|()| incoming)).await?;
                }
                Some(pb::snapshot_frame::Frame::End(end)) if end.size_bytes == size_bytes => {
                    return on_disk(move || incoming.finish()).await;
                }
                Some(pb::snapshot_frame::Frame::End(end)) => {
                    let announced = end.size_bytes;
                    return Err(Status::data_loss(format!(
                        "{size_bytes} bytes of a snapshot came, {announced} were announced"
                    )));
                }
                Some(pb::snapshot_frame::Frame::Header(_)) | None => {
                    return Err(Status::invalid_argument("the snapshot stream ended before its end frame"));
                }
            }
        }
    }
}

/// On a thread that may wait for the disk.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Status::internal(error.to_string()))?.map_err(unstored)
}

/// Refuses entries stamped with a time that the quorum's clocks contradict. The leader cannot commit them then.
///
/// Only what this very leader stamped and nobody has committed yet: what is committed must be taken, and what a later
/// leader found in its log must not keep that one from leading.
fn check_stamps(consensus: &Consensus, rpc: &AppendEntriesRequest<TypeConfig>) -> Result<(), Status> {
    let committed = rpc.leader_commit.map_or(0, |id| id.index());
    let fresh = rpc.entries.iter().filter(|entry| {
        let log_id = entry.log_id();
        log_id.index() > committed && *log_id.committed_leader_id() == rpc.vote.leader_id
    });
    let stamps = fresh.filter_map(|entry| match &entry.payload {
        EntryPayload::Normal(proposal) => Some(proposal.stamped_at),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    });
    match stamps.max() {
        Some(stamp) if consensus.is_from_the_future(stamp) => {
            let leader = rpc.vote.leader_id.node_id;
            tracing::error!(%stamp, leader, "the leader's clock is ahead of the quorum's");
            Err(Status::failed_precondition("the stamp of these entries lies in the future"))
        }
        _ => Ok(()),
    }
}

async fn header(frames: &mut Streaming<pb::SnapshotFrame>) -> Result<(Vote, SnapshotMeta), Status> {
    match frames.message().await?.and_then(|frame| frame.frame) {
        Some(pb::snapshot_frame::Frame::Header(header)) => {
            let vote = codec::required(header.vote, "vote").map_err(invalid)?;
            let meta = codec::required(header.meta, "meta").map_err(invalid)?;
            Ok((codec::vote_from_pb(&vote), codec::snapshot_meta_from_pb(meta).map_err(invalid)?))
        }
        _ => Err(Status::invalid_argument("a snapshot stream starts with its header")),
    }
}

fn speaks_for_itself(caller: NodeId, vote: &Vote) -> Result<(), Status> {
    if vote.leader_id.node_id == caller {
        return Ok(());
    }
    Err(Status::permission_denied(format!("node {caller} sent a message of node {}", vote.leader_id.node_id)))
}

fn invalid(error: CodecError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

fn unstored(error: StorageError) -> Status {
    Status::from_error(Box::new(io::Error::other(error)))
}
