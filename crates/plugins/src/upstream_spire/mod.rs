//! UpstreamAuthority `spire`: a SPIRE-compatible server above this one, in the same trust domain. This server is a
//! workload there, with a downstream entry: its SVID comes from the Workload API of an agent of that server.

mod connection;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use steeple_api::convert::{bundle_from_wire, jwt_authority_to_wire};
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::bundle::{GetBundleRequest, PublishJwtAuthorityRequest};
use steeple_api::server::svid::NewDownstreamX509caRequest;
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_core::plugin::{BoxFuture, MintedX509Ca, UpstreamAuthority, UpstreamBundle, UpstreamError};
use steeple_core::{Clock, JwtAuthority, TrustDomain};
use tonic::Status;

use connection::Connection;

/// `plugin_data`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpireServer {
    /// `host:port` of the server above.
    pub address: String,
    pub workload_api_socket: PathBuf,
    /// `experimental.require_pq_kem`.
    pub require_pq_kem: bool,
}

/// Calls have no bound of their own: the caller sets one.
pub struct SpireAuthority {
    connection: Connection,
}

impl SpireAuthority {
    /// Connects on first use: the server above may start later.
    pub fn new(server: SpireServer, trust_domain: TrustDomain, clock: Arc<dyn Clock>) -> Self {
        Self { connection: Connection::new(server, trust_domain, clock) }
    }

    async fn mint(&self, csr: &[u8], preferred_ttl: Duration) -> Result<MintedX509Ca, UpstreamError> {
        let channel = self.connection.channel().await?;
        let request = NewDownstreamX509caRequest {
            csr: csr.to_vec(),
            preferred_ttl: i32::try_from(preferred_ttl.as_secs()).unwrap_or(i32::MAX),
        };
        let answer = SvidClient::new(channel).new_downstream_x509ca(request).await;
        let answer = answer.map_err(failed("unable to request a new Downstream X509CA"))?.into_inner();
        Ok(MintedX509Ca { chain: answer.ca_cert_chain, roots: answer.x509_authorities })
    }

    async fn publish(&self, key: &JwtAuthority) -> Result<(), UpstreamError> {
        let channel = self.connection.channel().await?;
        let request = PublishJwtAuthorityRequest { jwt_authority: Some(jwt_authority_to_wire(key)) };
        let answer = BundleClient::new(channel).publish_jwt_authority(request).await;
        answer.map(|_| ()).map_err(failed("failed to push JWT authority"))
    }

    async fn fetch_bundle(&self) -> Result<UpstreamBundle, UpstreamError> {
        let channel = self.connection.channel().await?;
        let answer = BundleClient::new(channel).get_bundle(GetBundleRequest { output_mask: None }).await;
        let answer = answer.map_err(failed("failed to fetch bundle from upstream server"))?.into_inner();
        let bundle = bundle_from_wire(&answer, None)
            .map_err(|error| UpstreamError::failed(format!("failed to parse X.509 authorities: {error}")))?;
        let (x509_authorities, jwt_authorities) = (bundle.x509_authorities, bundle.jwt_authorities);
        Ok(UpstreamBundle { x509_authorities, jwt_authorities, is_whole: true })
    }
}

impl UpstreamAuthority for SpireAuthority {
    fn name(&self) -> &str {
        NAME
    }

    fn mint_x509_ca<'a>(
        &'a self,
        csr: &'a [u8],
        preferred_ttl: Duration,
    ) -> BoxFuture<'a, Result<MintedX509Ca, UpstreamError>> {
        Box::pin(self.mint(csr, preferred_ttl))
    }

    fn publish_jwt_key<'a>(&'a self, key: &'a JwtAuthority) -> BoxFuture<'a, Result<(), UpstreamError>> {
        Box::pin(self.publish(key))
    }

    fn bundle(&self) -> BoxFuture<'_, Result<UpstreamBundle, UpstreamError>> {
        Box::pin(self.fetch_bundle())
    }
}

/// `what` with the server's answer behind it.
fn failed(what: &'static str) -> impl Fn(Status) -> UpstreamError {
    move |status| UpstreamError::failed(format!("{what}: {:?}: {}", status.code(), status.message()))
}

const NAME: &str = "spire";
