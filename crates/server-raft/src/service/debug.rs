//! `spire.api.server.debug.v1.Debug`.

use std::sync::Arc;

use steeple_api::convert::id_to_wire;
use steeple_api::server::debug::debug_server::Debug as DebugApi;
use steeple_api::server::debug::*;
use steeple_ca::certificate;
use steeple_state::view::{AgentFilter, EntryFilter};
use tonic::{Request, Response, Status};

use super::shared::Shared;

pub struct DebugService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl DebugApi for DebugService {
    async fn get_info(&self, _request: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        self.shared.unsealed()?;
        let chain = self.shared.server_svid.borrow().as_ref().map(|svid| svid.chain.clone());
        let chain = chain.ok_or_else(|| Status::unavailable("server is initializing"))?;
        let view = self.shared.fresh().await?;
        let state = view.state();
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        // The chain goes on to the root that signed its end.
        let roots = state.own_bundle().map(|bundle| bundle.x509_authorities.clone()).unwrap_or_default();
        let root = chain
            .last()
            .and_then(|last| roots.iter().map(|root| &root.der).find(|root| certificate::is_signed_by(last, root)));
        Ok(Response::new(GetInfoResponse {
            svid_chain: chain.iter().chain(root).filter_map(|der| describe(der)).collect(),
            uptime: i32::try_from(self.shared.started_at.elapsed().as_secs()).unwrap_or(i32::MAX),
            agents_count: count(state.count_agents(&AgentFilter::default())),
            entries_count: count(state.count_entries(&EntryFilter::default())),
            // The own bundle counts too (SPIRE behaviour).
            federated_bundles_count: count(state.count_bundles()),
        }))
    }
}

fn describe(der: &[u8]) -> Option<get_info_response::Cert> {
    let facts = certificate::facts(der)?;
    Some(get_info_response::Cert {
        id: facts.spiffe_id.as_ref().map(id_to_wire),
        expires_at: facts.not_after.as_secs(),
        subject: facts.subject,
    })
}
