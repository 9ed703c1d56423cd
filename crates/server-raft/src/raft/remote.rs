//! Requests that a follower carries to the leader.

use std::time::Duration;

use steeple_api::steeple::peer as pb;
use steeple_api::steeple::peer::cluster_client::ClusterClient;
use steeple_state::codec;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::error::{Refusal, StopReason};
use super::propose::Committed;
use super::types::{Node, NodeId};
use crate::peer::{Lane, MESSAGE_BYTES_MAX, PeerPool};

/// Requests go one hop: from the replica that the client spoke to, to the leader.
pub(super) const HOPS: u32 = 1;

/// The leader's services, or why they cannot be reached at all.
pub(super) fn leader(peers: &PeerPool, id: NodeId, node: &Node) -> Result<ClusterClient<Channel>, Status> {
    let channel = peers.channel(&node.target(id), Lane::Requests);
    let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(ClusterClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX))
}

/// A request that ends with `deadline` on both sides.
pub(super) fn until<T>(deadline: Instant, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(remaining(deadline));
    request
}

pub(super) fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

pub(super) fn remaining_ms(deadline: Instant) -> u64 {
    u64::try_from(remaining(deadline).as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn propose(
    peers: &PeerPool,
    id: NodeId,
    node: &Node,
    command: Vec<u8>,
    deadline: Instant,
) -> Result<Committed, Refusal> {
    let mut leader = leader(peers, id, node).map_err(|_| Refusal::NotLeader)?;
    let message = pb::ProposeRequest { command, timeout_ms: remaining_ms(deadline), hops: HOPS };
    // Whatever breaks on the way may have broken after the leader took it.
    let answer = leader.propose(until(deadline, message)).await.map_err(|_| Refusal::Ambiguous)?;
    match answer.into_inner().result {
        Some(pb::propose_response::Result::Applied(applied)) => {
            // Applied, but told in words of another release: the retry gets the same ones, so this is the end.
            let outcome = codec::decode_outcome(&applied.outcome)
                .map_err(|error| Refusal::Stopped(StopReason(format!("the leader's answer: {error}"))))?;
            Ok(Committed { index: applied.index, outcome })
        }
        Some(pb::propose_response::Result::Refused(refused)) => Err(refusal(id, &refused)),
        None => Err(Refusal::Ambiguous),
    }
}

pub(super) async fn read_index(peers: &PeerPool, id: NodeId, node: &Node, timeout: Duration) -> Option<u64> {
    let deadline = Instant::now() + timeout;
    let message = pb::ReadIndexRequest { timeout_ms: remaining_ms(deadline) };
    let answer = leader(peers, id, node).ok()?.read_index(until(deadline, message)).await.ok()?;
    Some(answer.into_inner().index)
}

pub(super) fn refusal_to_pb(refusal: &Refusal) -> pb::ProposeRefused {
    let mut refused = pb::ProposeRefused::default();
    let failure = match refusal {
        // A sealed replica does not lead.
        Refusal::NotLeader | Refusal::Sealed(_) => pb::ProposeFailure::NotLeader,
        Refusal::Ambiguous | Refusal::Stopped(_) => pb::ProposeFailure::Ambiguous,
        Refusal::Overloaded { queued } => {
            refused.queued = *queued as u64;
            pb::ProposeFailure::Overloaded
        }
        Refusal::ClockSkew { offset_ms, .. } => {
            refused.offset_ms = *offset_ms;
            pb::ProposeFailure::ClockSkew
        }
        Refusal::NotFinalized { needs, has } => {
            (refused.needs_version, refused.has_version) = (*needs, *has);
            pb::ProposeFailure::NotFinalized
        }
        Refusal::TooLarge { .. } => pb::ProposeFailure::TooLarge,
        Refusal::NoSpace { available_bytes, .. } => {
            refused.available_bytes = *available_bytes;
            pb::ProposeFailure::NoSpace
        }
    };
    refused.failure = failure.into();
    refused
}

fn refusal(leader: NodeId, refused: &pb::ProposeRefused) -> Refusal {
    match refused.failure() {
        pb::ProposeFailure::NotLeader => Refusal::NotLeader,
        pb::ProposeFailure::Overloaded => {
            Refusal::Overloaded { queued: usize::try_from(refused.queued).unwrap_or(usize::MAX) }
        }
        pb::ProposeFailure::ClockSkew => Refusal::ClockSkew { node_id: leader, offset_ms: refused.offset_ms },
        pb::ProposeFailure::NoSpace => Refusal::NoSpace { node_id: leader, available_bytes: refused.available_bytes },
        pb::ProposeFailure::NotFinalized => {
            Refusal::NotFinalized { needs: refused.needs_version, has: refused.has_version }
        }
        // Its size was checked here too, so the limits of the two replicas differ.
        pb::ProposeFailure::TooLarge => Refusal::TooLarge { bytes: 0, bytes_max: 0 },
        pb::ProposeFailure::Ambiguous | pb::ProposeFailure::Unspecified => Refusal::Ambiguous,
    }
}
