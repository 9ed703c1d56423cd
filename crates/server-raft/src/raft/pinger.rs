//! Pings: every replica asks every other one for its clock and its progress.
//!
//! The clocks feed the guard over replicated time, also on followers, so that a new leader can judge its own at once.
//! The progress is what `cluster status` shows. Who falls silent, and who speaks again, is logged once; the consensus
//! library, which would complain about every message that it cannot deliver, is not heard (`telemetry`). A member that
//! was removed learns it here (`removed`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use steeple_api::steeple::peer as pb;
use steeple_core::Timestamp;
use steeple_state::CLUSTER_VERSION_FIRST;
use tokio::time::Instant;
use tonic::Status;

use super::codec;
use super::composers::ComposerComparison;
use super::consensus::Consensus;
use super::handler::Handler;
use super::health::is_healthy;
use super::remote;
use super::sealing_keys;
use super::state_check::Checkpoint;
use super::types::{Membership, Node, NodeId};
use crate::peer::{SigningHandler, is_stranger};

/// Clocks drift slowly; the guard wants a few measurements within its age limit.
const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(1);

/// One ping may be lost.
pub(super) const FRESH_FOR: Duration = Duration::from_millis(2500);

/// What a peer last said of itself.
#[derive(Clone, Debug)]
pub(super) struct PeerReport {
    pub(super) at: Instant,
    /// Of the ping that it answered.
    pub(super) round_trip: Duration,
    pub(super) last_log_index: u64,
    pub(super) applied_index: u64,
    /// A leader there would refuse writes too.
    pub(super) disk_nearly_full: bool,
    pub(super) disk_slow: bool,
    /// The latest that it applied. `None` from a release that has none; index 0 before the first.
    pub(super) checkpoint: Option<Checkpoint>,
    /// It votes and follows, and must not lead.
    pub(super) sealed: bool,
    /// The highest cluster version that its release knows.
    pub(super) cluster_version_max: u32,
    /// Its credential composers. `None` from a release that has none, and while it does not sign yet.
    pub(super) composers: Option<Vec<String>>,
    pub(super) sealing_keys: pb::SealingKeys,
}

pub(super) struct Reports {
    started: Instant,
    by_node: Mutex<BTreeMap<NodeId, PeerReport>>,
    /// When each member last pinged this replica.
    asked_at: Mutex<BTreeMap<NodeId, Instant>>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { started: Instant::now(), by_node: Mutex::default(), asked_at: Mutex::default() }
    }
}

impl Reports {
    /// For how long a peer has said nothing.
    pub(super) fn silence(&self, id: NodeId) -> Duration {
        self.of(id).map_or(self.started, |report| report.at).elapsed()
    }

    pub(super) fn of(&self, id: NodeId) -> Option<PeerReport> {
        self.by_node.lock().get(&id).cloned()
    }

    /// A member pinged this replica.
    pub(super) fn note_asked(&self, id: NodeId) {
        self.asked_at.lock().insert(id, Instant::now());
    }

    /// How long ago it did.
    pub(super) fn asked_by(&self, id: NodeId) -> Option<Duration> {
        self.asked_at.lock().get(&id).map(Instant::elapsed)
    }

    /// As [`Self::of`], unless it is so old that the peer may be away.
    pub(super) fn fresh(&self, id: NodeId) -> Option<PeerReport> {
        self.of(id).filter(|report| report.at.elapsed() < FRESH_FOR)
    }
}

/// What became of one ping.
enum Heard {
    Answer,
    /// The peer answers, and not to this replica.
    Refusal(Status),
    Silence,
}

/// Who did not answer for so long is told to be away: two pings may be lost.
const AWAY_AFTER: Duration = Duration::from_secs(3);

pub(super) async fn ping_peers(consensus: Arc<Consensus>, signer: Arc<Handler<dyn SigningHandler>>) {
    let (mut away, mut comparison) = (BTreeSet::new(), ComposerComparison::default());
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if consensus.sealing_key.is_sealed() {
            // Nobody would answer.
            consensus.stand_aside_if_unfit();
            continue;
        }
        let heard = ping_all(&consensus).await;
        let removed_by = heard.iter().find(|(_, heard)| matches!(heard, Heard::Refusal(status) if is_stranger(status)));
        if let Some((peer, _)) = removed_by {
            consensus.removed.learn(*peer);
        }
        let metrics = consensus.metrics();
        let (mut healthy, last_log) = (BTreeSet::new(), metrics.last_log_index.unwrap_or(0));
        for (id, node) in peers(&consensus, metrics.membership_config.membership()) {
            let silence = consensus.reports.silence(id);
            tell(&mut away, id, node, silence > AWAY_AFTER, heard.get(&id));
            let theirs = consensus.reports.of(id).and_then(|report| report.composers);
            if let (Some(signer), Some(theirs)) = (signer.get(), theirs) {
                comparison.tell(id, &node.name, &signer.composers(), &theirs);
            }
            let lag = |report: PeerReport| last_log.saturating_sub(report.last_log_index);
            if consensus.reports.of(id).is_some_and(|report| is_healthy(silence, lag(report))) {
                healthy.insert(id);
            }
        }
        consensus.health.note(&healthy, Instant::now());
        consensus.stand_aside_if_unfit();
    }
}

/// Asks every peer now. Returns who answered, within a second.
pub(super) async fn who_answers(consensus: &Consensus) -> BTreeSet<NodeId> {
    let heard = ping_all(consensus).await;
    heard.into_iter().filter(|(_, heard)| matches!(heard, Heard::Answer)).map(|(id, _)| id).collect()
}

async fn ping_all(consensus: &Consensus) -> BTreeMap<NodeId, Heard> {
    let membership = consensus.metrics().membership_config;
    let pings = peers(consensus, membership.membership())
        .map(|(id, node)| async move { (id, ping(consensus, id, node).await) });
    join_all(pings).await.into_iter().collect()
}

fn peers<'a>(consensus: &Consensus, membership: &'a Membership) -> impl Iterator<Item = (NodeId, &'a Node)> {
    let us = consensus.node_id;
    membership.nodes().map(|(id, node)| (*id, node)).filter(move |(id, _)| *id != us)
}

/// One line when a peer goes away, one when it comes back.
fn tell(away: &mut BTreeSet<NodeId>, id: NodeId, node: &Node, is_away: bool, heard: Option<&Heard>) {
    let (name, address) = (&node.name, &node.address);
    if is_away && away.insert(id) {
        let reason = match heard {
            Some(Heard::Refusal(status)) => Some(status.message()),
            _ => None,
        };
        tracing::warn!(node_id = id, %name, %address, reason, "a replica does not answer");
    } else if !is_away && away.remove(&id) {
        tracing::info!(node_id = id, %name, %address, "the replica answers again");
    }
}

/// Notes what the peer says.
async fn ping(consensus: &Consensus, id: NodeId, node: &Node) -> Heard {
    let Some(peers) = &consensus.peers else { return Heard::Silence };
    let Ok(mut peer) = remote::leader(peers, id, node) else { return Heard::Silence };
    let started = Instant::now();
    let request = remote::until(started + TIMEOUT, pb::PingRequest { sent_at_ms: consensus.clock.now().as_ms() });
    let answer = match tokio::time::timeout(TIMEOUT, peer.ping(request)).await {
        Ok(Ok(answer)) => answer.into_inner(),
        Ok(Err(status)) => return Heard::Refusal(status),
        Err(_) => return Heard::Silence,
    };
    consensus.peer_clocks.record(id, Timestamp::from_ms(answer.at_ms), started);
    let report = PeerReport {
        at: Instant::now(),
        round_trip: started.elapsed(),
        last_log_index: answer.last_log_index,
        applied_index: answer.applied_index,
        disk_nearly_full: answer.disk_nearly_full,
        disk_slow: answer.disk_slow,
        checkpoint: answer.checkpoint.as_ref().map(codec::checkpoint_from_pb),
        sealed: answer.sealed,
        cluster_version_max: answer.cluster_version_max.max(CLUSTER_VERSION_FIRST),
        composers: answer.composers.map(|composers| composers.described),
        sealing_keys: sealing_keys::told_from_pb(answer.sealing_keys),
    };
    consensus.reports.by_node.lock().insert(id, report);
    Heard::Answer
}
