//! `steeple.server.v1.Audit`: what the cluster knows of the replicas' audit chains.

use std::sync::Arc;

use steeple_api::steeple::server::audit_server::Audit as AuditApi;
use steeple_api::steeple::server::*;
use steeple_state::{KeptAnchor, State};
use tonic::{Request, Response, Status};

use super::shared::Shared;

pub struct AuditService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl AuditApi for AuditService {
    async fn anchors(&self, _request: Request<AuditAnchorsRequest>) -> Result<Response<AuditAnchorsResponse>, Status> {
        let trail = self.shared.audit.as_ref().and_then(|audit| audit.trail());
        let file = trail.map(|trail| trail.path().display().to_string()).unwrap_or_default();
        let view = self.shared.fresh().await?;
        let state = view.state();
        let anchors = state.audit_anchors().map(|kept| anchor(&state, kept)).collect();
        Ok(Response::new(AuditAnchorsResponse { node_id: self.shared.replica.node_id(), file, anchors }))
    }
}

fn anchor(state: &State, kept: &KeptAnchor) -> AuditAnchor {
    let KeptAnchor { anchor, index, at } = kept;
    AuditAnchor {
        node_id: anchor.node_id,
        name: state.member(anchor.node_id).map(|member| member.facts.name.clone()).unwrap_or_default(),
        epoch: anchor.epoch,
        sequence: anchor.sequence,
        hash: anchor.hash.to_vec(),
        index: *index,
        anchored_at_ms: at.as_ms(),
    }
}
