//! Serving while the own bundle is there, which is what a workload would find.

use std::sync::Arc;

use steeple_api::health::health_check_response::ServingStatus;
use steeple_api::health::health_server::Health as HealthApi;
use steeple_api::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use steeple_telemetry::health::Report;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

use crate::cache::Cache;

pub struct HealthService {
    pub cache: Arc<Cache>,
}

#[tonic::async_trait]
impl HealthApi for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !request.into_inner().service.is_empty() {
            return Err(Status::invalid_argument("per-service health is not supported"));
        }
        let serving = self.cache.own_bundle().is_some();
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
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

/// The check named `agent` of the HTTP listener.
pub fn check(cache: &Cache) -> Report {
    match cache.own_bundle() {
        Some(_) => Report::ok(),
        None => Report::not_ready("make_new_x509_err", "no bundle has arrived from the server yet"),
    }
}
