//! The Workload API of an agent, ours or a stock one.

use std::path::Path;

use steeple_api::workload::JwtBundlesRequest;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_ca::jwks::parse_jwt_bundle;
use steeple_core::{JwtAuthority, TrustDomain};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::{KeySource, SourceError};

pub(crate) struct WorkloadApiSource {
    client: SpiffeWorkloadApiClient<Channel>,
    trust_domain: TrustDomain,
}

impl WorkloadApiSource {
    pub(crate) fn new(socket_path: &Path, trust_domain: TrustDomain) -> Self {
        Self { client: SpiffeWorkloadApiClient::new(steeple_cli::connect(socket_path)), trust_domain }
    }
}

impl KeySource for WorkloadApiSource {
    async fn fetch(&self) -> Result<Vec<JwtAuthority>, SourceError> {
        let failed = |status| SourceError::WorkloadApi(Box::new(status));
        let mut request = Request::new(JwtBundlesRequest {});
        // SPIFFE Workload API, section 6.1.
        request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
        let mut stream = self.client.clone().fetch_jwt_bundles(request).await.map_err(failed)?.into_inner();
        let first = stream.message().await.map_err(failed)?;
        let mut first = first.ok_or_else(|| failed(Status::unavailable("the stream ended without a bundle")))?;
        // SPIRE's agents name trust domains by their ID.
        let document = first.bundles.remove(&self.trust_domain.id().to_string());
        let document = document.ok_or_else(|| SourceError::NoBundle(self.trust_domain.clone()))?;
        Ok(parse_jwt_bundle(&document)?)
    }
}
