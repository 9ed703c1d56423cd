//! The first words of a replica in its cluster: founding it, and telling it of a new name or address.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steeple_core::TrustDomain;
use steeple_state::{CLUSTER_VERSION_MAX, ClusterInit, CommandKind, MemberFacts, Outcome, Uuid};
use tokio::time::Instant;

use super::consensus::Consensus;
use super::error::StartError;
use super::identity::{self, NODE_ID_FIRST};
use super::propose::Queue;
use super::replica::Origin;
use super::types::Node;
use super::{forward, peer_ca};
use crate::peer::PeerError;

/// How long the founder waits for its own, single vote and the first command.
const FOUND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a changed name or address is offered to the cluster before it is given up until the next start.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(300);

/// What a founder decides.
pub(super) struct Founding<'a> {
    pub(super) cluster_uuid: Uuid,
    pub(super) trust_domain: &'a TrustDomain,
    pub(super) facts: &'a MemberFacts,
}

/// Founds the cluster, or finishes what an earlier start of this directory began.
pub(super) async fn found(consensus: &Consensus, queue: &Queue, founding: &Founding<'_>) -> Result<(), StartError> {
    if consensus.published.state.read().cluster().is_some() {
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| StartError::Raft(format!("founding the cluster: {error}"));
    if !consensus.raft.is_initialized().await.map_err(|error| failed(&error))? {
        let Founding { facts, .. } = founding;
        let node =
            Node { name: facts.name.clone(), address: facts.peer_address.clone(), storage_uuid: facts.storage_uuid };
        let members = BTreeMap::from([(NODE_ID_FIRST, node)]);
        consensus.raft.initialize(members).await.map_err(|error| failed(&error))?;
    }
    let sealing_key = consensus.sealing_key.first().map_err(PeerError::from)?;
    let sealed = peer_ca::found(&founding.cluster_uuid, &sealing_key, consensus.clock.now());
    let sealed = sealed.map_err(PeerError::from)?;
    let init = ClusterInit {
        cluster_uuid: founding.cluster_uuid,
        trust_domain: founding.trust_domain.clone(),
        keyring: sealed.keyring,
        peer_ca: sealed.peer_ca,
        first: founding.facts.clone(),
        version: CLUSTER_VERSION_MAX,
    };
    let origin = Origin {
        actor: "bootstrap".to_owned(),
        request_id: founding.cluster_uuid,
        deadline: Instant::now() + FOUND_TIMEOUT,
    };
    let committed = forward::propose(consensus, queue, CommandKind::InitCluster(Box::new(init)), origin).await;
    match committed.map_err(|error| failed(&error))?.outcome {
        Outcome::Member { node_id: NODE_ID_FIRST } => Ok(()),
        other => Err(failed(&format!("{other:?}"))),
    }
}

pub(super) fn check_trust_domain(consensus: &Consensus, configured: &TrustDomain) -> Result<(), StartError> {
    match consensus.published.state.read().trust_domain() {
        Some(stored) if stored != configured => {
            Err(StartError::TrustDomain { stored: stored.clone(), configured: configured.clone() })
        }
        _ => Ok(()),
    }
}

/// Tells the cluster when this member came back under another name or address.
pub(super) async fn announce(consensus: Arc<Consensus>, queue: Queue, ours: MemberFacts) {
    // Until then nobody listens to it.
    consensus.sealing_key.until_open().await;
    let mut applied = consensus.published.applied.subscribe();
    let known = loop {
        let known = consensus.published.state.read().member(consensus.node_id).map(|member| member.facts.clone());
        match known {
            Some(known) => break known,
            // A joiner learns of itself through the log.
            None if applied.changed().await.is_ok() => {}
            None => return,
        }
    };
    if known == ours {
        return;
    }
    let kind = CommandKind::UpdateMember {
        node_id: consensus.node_id,
        name: ours.name,
        peer_address: ours.peer_address,
        api_address: ours.api_address,
    };
    let deadline = Instant::now() + ANNOUNCE_TIMEOUT;
    let origin = Origin { actor: "member".to_owned(), request_id: identity::new_uuid(), deadline };
    if let Err(error) = forward::propose(&consensus, &queue, kind, origin).await {
        tracing::warn!(%error, "the cluster does not know this member's new name or address yet");
    }
}
