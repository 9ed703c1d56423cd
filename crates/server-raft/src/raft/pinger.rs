//! Pings: every replica asks every other one for its clock and its progress.
//!
//! The clocks feed the guard over replicated time, also on followers, so that a new leader can judge its own at once.
//! The progress is what `cluster status` shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use steeple_api::steeple::peer as pb;
use steeple_core::Timestamp;

use super::consensus::Consensus;
use super::remote;
use super::types::{Node, NodeId};

/// Clocks drift slowly; the guard wants a few measurements within its age limit.
const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(1);

/// What a peer last said of itself.
#[derive(Clone, Debug)]
pub(super) struct PeerReport {
    pub(super) at: Instant,
    pub(super) last_log_index: u64,
    pub(super) applied_index: u64,
}

#[derive(Default)]
pub(super) struct Reports {
    by_node: Mutex<BTreeMap<NodeId, PeerReport>>,
}

impl Reports {
    pub(super) fn of(&self, id: NodeId) -> Option<PeerReport> {
        self.by_node.lock().get(&id).cloned()
    }
}

pub(super) async fn ping_peers(consensus: Arc<Consensus>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let membership = consensus.metrics().membership_config;
        let peers = membership.nodes().filter(|(id, _)| **id != consensus.node_id);
        let pings = peers.map(|(id, node)| ping(&consensus, *id, node));
        futures::future::join_all(pings).await;
        consensus.stand_aside_if_skewed();
    }
}

async fn ping(consensus: &Consensus, id: NodeId, node: &Node) {
    let Some(peers) = &consensus.peers else { return };
    let Ok(mut peer) = remote::leader(peers, id, node) else { return };
    let (started, sent) = (Instant::now(), consensus.clock.now());
    let request = remote::until(started + TIMEOUT, pb::PingRequest { sent_at_ms: sent.as_ms() });
    let Ok(Ok(answer)) = tokio::time::timeout(TIMEOUT, peer.ping(request)).await else { return };
    let answer = answer.into_inner();
    let theirs = Timestamp::from_ms(answer.at_ms);
    consensus.offsets.record(id, sent, theirs, consensus.clock.now(), started.elapsed());
    let report =
        PeerReport { at: Instant::now(), last_log_index: answer.last_log_index, applied_index: answer.applied_index };
    consensus.reports.by_node.lock().insert(id, report);
}
