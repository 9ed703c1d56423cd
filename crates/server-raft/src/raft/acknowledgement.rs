//! The question to every member who of its agents holds the bundle.

use futures::future::join_all;
use steeple_api::steeple::peer as pb;
use tokio::time::Instant;

use super::consensus::Consensus;
use super::handler::Handler;
use super::remote;
use super::types::{Node, NodeId};
use crate::peer::{AcknowledgementHandler, MemberAnswer};

/// One answer for each member, learners and this replica included, by ascending id.
pub(super) async fn ask(
    consensus: &Consensus,
    handler: &Handler<dyn AcknowledgementHandler>,
    request: &pb::AcknowledgementsRequest,
    deadline: Instant,
) -> Vec<MemberAnswer> {
    let membership = consensus.metrics().membership_config;
    let questions = membership.nodes().map(|(id, node)| async move {
        let answer = match *id == consensus.node_id {
            true => handler.get().map(|handler| handler.answer(request)),
            false => ask_peer(consensus, *id, node, request.clone(), deadline).await,
        };
        MemberAnswer { node_id: *id, name: node.name.clone(), answer }
    });
    let mut answers = join_all(questions).await;
    answers.sort_by_key(|answer| answer.node_id);
    answers
}

async fn ask_peer(
    consensus: &Consensus,
    id: NodeId,
    node: &Node,
    request: pb::AcknowledgementsRequest,
    deadline: Instant,
) -> Option<pb::AcknowledgementsResponse> {
    let mut peer = remote::leader(consensus.peers.as_ref()?, id, node).ok()?;
    let answer = peer.acknowledgements(remote::until(deadline, request));
    let answer = tokio::time::timeout_at(deadline, answer).await.ok()?;
    answer.ok().map(tonic::Response::into_inner)
}
