//! A spire-server's admin socket, ours or a stock one.

use std::path::Path;

use steeple_api::convert::bundle_from_wire;
use steeple_api::server::bundle::GetBundleRequest;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::types::BundleMask;
use steeple_core::JwtAuthority;
use tonic::transport::Channel;

use super::{KeySource, SourceError};

pub(crate) struct ServerApiSource(BundleClient<Channel>);

impl ServerApiSource {
    pub(crate) fn new(socket_path: &Path) -> Self {
        Self(BundleClient::new(steeple_cli::connect(socket_path)))
    }
}

impl KeySource for ServerApiSource {
    async fn fetch(&self) -> Result<Vec<JwtAuthority>, SourceError> {
        let output_mask = Some(BundleMask { jwt_authorities: true, ..BundleMask::default() });
        let reply = self.0.clone().get_bundle(GetBundleRequest { output_mask }).await;
        let wire = reply.map_err(|status| SourceError::ServerApi(Box::new(status)))?.into_inner();
        let bundle = bundle_from_wire(&wire, output_mask.as_ref());
        let bundle = bundle.map_err(|error| {
            SourceError::ServerApi(Box::new(tonic::Status::internal(format!("malformed bundle: {error}"))))
        })?;
        Ok(bundle.jwt_authorities)
    }
}
