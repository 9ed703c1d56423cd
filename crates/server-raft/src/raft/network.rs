//! openraft's calls to peers, over the peer port.
//!
//! Heartbeats and snapshots have connections of their own: neither a large batch nor a snapshot delays a heartbeat.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _, stream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use steeple_api::steeple::peer as pb;
use steeple_api::steeple::peer::raft_client::RaftClient;
use steeple_storage::SnapshotFile;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::append_stream::{self, Answers};
use super::codec::{self, CodecError};
use super::published::Published;
use super::snapshot::Snapshot;
use super::types::{Node, NodeId, TypeConfig, Vote};
use super::wire;
use crate::metrics::SnapshotTimer;
use crate::peer::{Lane, MESSAGE_BYTES_MAX, PeerPool, PeerTarget};

/// Bytes of a snapshot in one frame.
const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;

#[derive(Clone)]
pub(super) struct Network {
    node_id: NodeId,
    /// None on a single server: there is nobody to call.
    peers: Option<PeerPool>,
    /// Where members are by now: openraft keeps a client for as long as a node is in the membership, under the address
    /// that it had at first.
    published: Arc<Published>,
}

/// One lane to one peer.
pub(super) struct PeerClient {
    pub(super) node_id: NodeId,
    pub(super) target: NodeId,
    lane: Lane,
    node: Node,
    network: Network,
}

impl Network {
    pub(super) fn new(node_id: NodeId, peers: Option<PeerPool>, published: Arc<Published>) -> Self {
        Self { node_id, peers, published }
    }

    fn client(&self, target: NodeId, node: &Node, lane: Lane) -> PeerClient {
        PeerClient { node_id: self.node_id, target, lane, node: node.clone(), network: self.clone() }
    }
}

impl Node {
    pub(super) fn target(&self, node_id: NodeId) -> PeerTarget {
        PeerTarget { node_id, address: self.address.clone(), storage_uuid: self.storage_uuid }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: NodeId, node: &Node) -> PeerClient {
        self.client(target, node, Lane::Replication)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Node) -> PeerClient {
        self.client(target, node, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Node) -> PeerClient {
        self.client(target, node, Lane::Snapshot)
    }
}

impl PeerClient {
    pub(super) fn raft(&self) -> Result<RaftClient<Channel>, RPCError<TypeConfig>> {
        let peers = self.network.peers.as_ref().ok_or_else(|| {
            let reason = io::Error::other("this server has no peer port; give it a cluster block to add replicas");
            RPCError::Unreachable(Unreachable::new(&reason))
        })?;
        let channel = peers.channel(&self.peer(), self.lane);
        let channel = channel.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        Ok(RaftClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// The target at its latest address. Whoever answers there has to prove that it is the same node.
    fn peer(&self) -> PeerTarget {
        let mut peer = self.node.target(self.target);
        if let Some(member) = self.network.published.state.read().member(self.target) {
            peer.address.clone_from(&member.facts.peer_address);
        }
        peer
    }

    fn request<T>(&self, message: T, timeout: Duration) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(timeout);
        request
    }

    pub(super) fn failure(&self, status: &Status, action: RPCTypes, timeout: Duration) -> RPCError<TypeConfig> {
        match status.code() {
            Code::Unavailable | Code::PermissionDenied | Code::Unauthenticated => {
                RPCError::Unreachable(Unreachable::new(status))
            }
            Code::DeadlineExceeded | Code::Cancelled => {
                RPCError::Timeout(Timeout { action, id: self.node_id, target: self.target, timeout })
            }
            _ => RPCError::Network(NetworkError::new(status)),
        }
    }
}

/// Waits for `call` no longer than openraft allows; its own limit would leave the stream half closed.
pub(super) async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("the peer did not answer in time")),
    }
}

pub(super) fn malformed(error: &CodecError) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(error))
}

impl RaftNetworkV2<TypeConfig> for PeerClient {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut raft = self.raft()?;
        let timeout = option.soft_ttl();
        let request = self.request(wire::append_request_to_pb(&rpc), timeout);
        let answer = within(timeout, raft.append_entries(request)).await;
        let answer = answer.map_err(|status| self.failure(&status, RPCTypes::AppendEntries, timeout))?;
        wire::append_response_from_pb(answer).map_err(|error| malformed(&error))
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<Answers<'s>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        match self.lane {
            Lane::Replication => Box::pin(append_stream::open(self, requests)),
            _ => stream_append_sequential(self, requests, option),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut raft = self.raft()?;
        let timeout = option.soft_ttl();
        let request = self.request(wire::vote_request_to_pb(&rpc), timeout);
        let answer = within(timeout, raft.vote(request)).await;
        let answer = answer.map_err(|status| self.failure(&status, RPCTypes::Vote, timeout))?;
        wire::vote_response_from_pb(answer).map_err(|error| malformed(&error))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut raft = self.raft()?;
        let timeout = option.soft_ttl();
        let request = self.request(wire::vote_request_to_pb(&rpc), timeout);
        let answer = within(timeout, raft.pre_vote(request)).await;
        let answer = answer.map_err(|status| self.failure(&status, RPCTypes::Vote, timeout))?;
        wire::vote_response_from_pb(answer).map_err(|error| malformed(&error))
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut raft = self.raft()?;
        let timeout = option.soft_ttl();
        let request = self.request(wire::transfer_request_to_pb(&rpc), timeout);
        let answer = within(timeout, raft.transfer_leader(request)).await;
        let answer = answer.map_err(|status| self.failure(&status, RPCTypes::TransferLeader, timeout))?;
        wire::transfer_response_from_pb(answer).map_err(|error| malformed(&error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let mut raft = self.raft()?;
        let timeout = option.soft_ttl();
        let header = pb::SnapshotHeader {
            vote: Some(codec::vote_to_pb(&vote)),
            meta: Some(codec::snapshot_meta_to_pb(&snapshot.meta)),
        };
        let (timer, size_bytes) = (SnapshotTimer::sent(), snapshot.snapshot.info().size_bytes);
        let request = self.request(frames(header, snapshot.snapshot), timeout);
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = within(timeout, raft.install_snapshot(request)) => answer,
        };
        timer.done(answer.is_ok().then_some(size_bytes));
        let answer = answer.map_err(|status| self.failure(&status, RPCTypes::InstallSnapshot, timeout))?;
        let vote = codec::required(answer.vote, "vote").map_err(|error| malformed(&error))?;
        Ok(SnapshotResponse::new(codec::vote_from_pb(&vote)))
    }
}

/// The frames of a snapshot, read from disk as the connection takes them: no thread waits for the network meanwhile.
fn frames(header: pb::SnapshotHeader, file: SnapshotFile) -> impl Stream<Item = pb::SnapshotFrame> + Send + 'static {
    let header = stream::iter([frame(pb::snapshot_frame::Frame::Header(header))]);
    header.chain(stream::unfold(Some((file, 0)), read_frame))
}

/// The next frame of a file of which so many bytes were read. Cut short, the stream lacks its end, and the receiver
/// discards it.
async fn read_frame(reading: Option<(SnapshotFile, u64)>) -> Option<(pb::SnapshotFrame, Option<(SnapshotFile, u64)>)> {
    use std::io::Read;
    let (mut file, size_bytes) = reading?;
    let read = tokio::task::spawn_blocking(move || {
        let mut chunk = vec![0; SNAPSHOT_CHUNK_BYTES];
        let read = file.read(&mut chunk)?;
        chunk.truncate(read);
        Ok((file, chunk))
    });
    match read.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok((_, chunk)) if chunk.is_empty() => {
            Some((frame(pb::snapshot_frame::Frame::End(pb::SnapshotEnd { size_bytes })), None))
        }
        Ok((file, chunk)) => {
            let size_bytes = size_bytes + chunk.len() as u64;
            Some((frame(pb::snapshot_frame::Frame::Chunk(chunk)), Some((file, size_bytes))))
        }
        Err(error) => {
            tracing::warn!(%error, "sending a snapshot failed");
            None
        }
    }
}

fn frame(frame: pb::snapshot_frame::Frame) -> pb::SnapshotFrame {
    pb::SnapshotFrame { frame: Some(frame) }
}
