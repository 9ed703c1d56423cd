//! `spire.agent.debug.v1.Debug`.

use std::sync::Arc;
use std::time::Instant;

use steeple_api::agent::debug::debug_server::Debug as DebugApi;
use steeple_api::agent::debug::{GetInfoRequest, GetInfoResponse, get_info_response};
use steeple_api::convert::id_to_wire;
use steeple_ca::certificate;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::cache::{Cache, JwtCache};

pub struct DebugService {
    pub cache: Arc<Cache>,
    pub jwt_cache: Arc<JwtCache>,
    /// The agent's own chain, leaf first.
    pub chain: watch::Receiver<Vec<Vec<u8>>>,
    /// Unix seconds; 0 before the first sync.
    pub last_sync_success: watch::Receiver<i64>,
    pub started_at: Instant,
}

#[tonic::async_trait]
impl DebugApi for DebugService {
    #[expect(deprecated, reason = "old clients read `svids_count`")]
    async fn get_info(&self, _request: Request<GetInfoRequest>) -> Result<Response<GetInfoResponse>, Status> {
        let chain = self.chain.borrow().clone();
        let roots = self.cache.own_bundle().map(|bundle| bundle.x509_authorities.clone()).unwrap_or_default();
        let root = chain
            .last()
            .and_then(|last| roots.iter().map(|root| &root.der).find(|root| certificate::is_signed_by(last, root)))
            .ok_or_else(|| Status::internal("failed to verify agent SVID: certificate signed by unknown authority"))?;
        let svids = count(self.cache.svid_count());
        Ok(Response::new(GetInfoResponse {
            svid_chain: chain.iter().chain([root]).filter_map(|der| describe(der)).collect(),
            uptime: count(usize::try_from(self.started_at.elapsed().as_secs()).unwrap_or(usize::MAX)),
            svids_count: svids,
            last_sync_success: *self.last_sync_success.borrow(),
            cached_x509_svids_count: svids,
            cached_jwt_svids_count: count(self.jwt_cache.len()),
            cached_svidstore_x509_svids_count: count(self.cache.stored_svid_count()),
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

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
