//! Pings: every replica asks every other one for its clock and its progress.
//!
//! The clocks feed the guard over replicated time, also on followers, so that a new leader can judge its own at once.
//! The progress is what `cluster status` shows. Who falls silent, and who speaks again, is logged once; the consensus
//! library, which would complain about every message that it cannot deliver, is not heard (`telemetry`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use steeple_api::steeple::peer as pb;
use steeple_core::Timestamp;
use tonic::Code;

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

/// Who did not answer for so long is told to be away: two pings may be lost.
const AWAY_AFTER: Duration = Duration::from_secs(3);

pub(super) async fn ping_peers(consensus: Arc<Consensus>) {
    let started = Instant::now();
    let mut away = BTreeSet::new();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let membership = consensus.metrics().membership_config;
        let peers = membership.nodes().filter(|(id, _)| **id != consensus.node_id);
        let pings = peers.map(|(id, node)| ping(&consensus, *id, node));
        let refusals: BTreeMap<NodeId, String> = futures::future::join_all(pings).await.into_iter().flatten().collect();
        for (id, node) in membership.nodes().filter(|(id, _)| **id != consensus.node_id) {
            let heard_at = consensus.reports.of(*id).map_or(started, |report| report.at);
            let reason = refusals.get(id).map(String::as_str);
            tell(&mut away, *id, node, heard_at.elapsed() > AWAY_AFTER, reason);
        }
        consensus.stand_aside_if_skewed();
    }
}

/// One line when a peer goes away, one when it comes back. A member that was removed learns it from `reason`.
fn tell(away: &mut BTreeSet<NodeId>, id: NodeId, node: &Node, is_away: bool, reason: Option<&str>) {
    let (name, address) = (&node.name, &node.address);
    if is_away && away.insert(id) {
        tracing::warn!(node_id = id, %name, %address, reason, "a replica does not answer");
    } else if !is_away && away.remove(&id) {
        tracing::info!(node_id = id, %name, %address, "the replica answers again");
    }
}

/// Notes what the peer says, and returns why it turns this replica away.
async fn ping(consensus: &Consensus, id: NodeId, node: &Node) -> Option<(NodeId, String)> {
    let peers = consensus.peers.as_ref()?;
    let mut peer = remote::leader(peers, id, node).ok()?;
    let (started, sent) = (Instant::now(), consensus.clock.now());
    let request = remote::until(started + TIMEOUT, pb::PingRequest { sent_at_ms: sent.as_ms() });
    let answer = match tokio::time::timeout(TIMEOUT, peer.ping(request)).await.ok()? {
        Ok(answer) => answer.into_inner(),
        Err(status) if status.code() == Code::PermissionDenied => return Some((id, status.message().to_owned())),
        Err(_) => return None,
    };
    let theirs = Timestamp::from_ms(answer.at_ms);
    consensus.offsets.record(id, sent, theirs, consensus.clock.now(), started.elapsed());
    let report =
        PeerReport { at: Instant::now(), last_log_index: answer.last_log_index, applied_index: answer.applied_index };
    consensus.reports.by_node.lock().insert(id, report);
    None
}
