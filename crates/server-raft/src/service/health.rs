//! `grpc.health.v1.Health` on the admin socket: serving once the own bundle can be fetched (SPIRE behaviour), this
//! replica is as new as its cluster, and its keys sign, which they do nowhere on a sealed replica.

use std::sync::Arc;

use steeple_api::health::health_check_response::ServingStatus;
use steeple_api::health::health_server::Health as HealthApi;
use steeple_api::health::*;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use super::shared::Shared;

pub struct HealthService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl HealthApi for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !request.into_inner().service.is_empty() {
            return Err(Status::invalid_argument("per-service health is not supported"));
        }
        let is_whole = self.shared.freshness.check().is_ok() && !self.shared.sealing_key.is_sealed();
        let serves = match self.shared.held().await {
            Ok(view) => is_whole && self.shared.is_initialized(&view.state()),
            Err(_) => false,
        };
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(Response::new(HealthCheckResponse { status: status as i32 }))
    }

    async fn list(&self, _request: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("method List not implemented"))
    }

    async fn watch(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<BoxStream<HealthCheckResponse>>, Status> {
        Err(Status::unimplemented("method Watch not implemented"))
    }
}
