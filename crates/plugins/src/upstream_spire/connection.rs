//! The connection to the server above, under the SVID that the Workload API holds for us at the moment.

use std::sync::Arc;

use http::uri::Authority;
use parking_lot::Mutex;
use steeple_api::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use steeple_api::workload::{X509svid, X509svidRequest};
use steeple_ca::certificate;
use steeple_core::plugin::UpstreamError;
use steeple_core::{Clock, Secret, SpiffeId, TrustDomain};
use steeple_transport::client::{ServerDialer, server_channel, uds_channel};
use steeple_transport::tls::{
    Identity, IdentitySink as _, IdentityStore, KeyExchange, ServerIdVerifier, TrustRoots, Usage, client_config,
};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::SpireServer;

pub(super) struct Connection {
    server: SpireServer,
    trust_domain: TrustDomain,
    clock: Arc<dyn Clock>,
    current: Mutex<Option<Connected>>,
}

/// A channel and what it was made of.
struct Connected {
    /// DER, leaf first, in one piece.
    svid: Vec<u8>,
    /// DER, in one piece.
    bundle: Vec<u8>,
    channel: Channel,
}

impl Connection {
    pub fn new(server: SpireServer, trust_domain: TrustDomain, clock: Arc<dyn Clock>) -> Self {
        Self { server, trust_domain, clock, current: Mutex::new(None) }
    }

    /// The Workload API is asked at each use: it is near, and always knows the latest SVID and roots. The channel stays
    /// while they do.
    pub async fn channel(&self) -> Result<Channel, UpstreamError> {
        let svid = self.fetch_svid().await.map_err(|status| {
            UpstreamError::failed(format!(
                "unable to create X509Source: {}: {:?}: {}",
                self.server.workload_api_socket.display(),
                status.code(),
                status.message()
            ))
        })?;
        let mut current = self.current.lock();
        if let Some(known) = current.as_ref()
            && (&known.svid, &known.bundle) == (&svid.x509_svid, &svid.bundle)
        {
            return Ok(known.channel.clone());
        }
        let (chain, bundle) = (svid.x509_svid.clone(), svid.bundle.clone());
        let channel = self.connect(svid)?;
        *current = Some(Connected { svid: chain, bundle, channel: channel.clone() });
        Ok(channel)
    }

    async fn fetch_svid(&self) -> Result<X509svid, Status> {
        let mut request = Request::new(X509svidRequest {});
        // SPIFFE Workload API, section 6.1.
        request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
        let mut client = SpiffeWorkloadApiClient::new(uds_channel(&self.server.workload_api_socket));
        let mut stream = client.fetch_x509svid(request).await?.into_inner();
        let first = stream.message().await?.and_then(|first| first.svids.into_iter().next());
        first.ok_or_else(|| Status::unavailable("the stream ended without an SVID"))
    }

    fn connect(&self, svid: X509svid) -> Result<Channel, UpstreamError> {
        let unusable = |why: &dyn std::fmt::Display| {
            UpstreamError::failed(format!("the SVID {} from the Workload API cannot be used: {why}", svid.spiffe_id))
        };
        let key = Secret::new(svid.x509_svid_key);
        let chain = certificate::split(&svid.x509_svid).ok_or_else(|| unusable(&"not certificates in DER"))?;
        let roots =
            certificate::split(&svid.bundle).ok_or_else(|| unusable(&"its bundle is not certificates in DER"))?;
        let roots = TrustRoots::empty().with(self.trust_domain.clone(), &roots).map_err(|error| unusable(&error))?;
        let roots = roots.into_shared();
        let own = self.trust_domain.clone();
        let permits = Arc::new(move |id: &SpiffeId| id.is_member_of(&own));
        let identity = IdentityStore::new(Arc::clone(&roots), permits, Usage::Client, Arc::clone(&self.clock));
        identity.publish(&Identity { chain, key: key.into() }).map_err(|error| unusable(&error))?;

        let dialing = |why: &dyn std::fmt::Display| {
            UpstreamError::failed(format!("error dialing {}: {why}", self.server.address))
        };
        let verifier = ServerIdVerifier::new(roots, self.trust_domain.server_id());
        let exchange = if self.server.require_pq_kem { KeyExchange::PostQuantumOnly } else { KeyExchange::Compatible };
        let tls = client_config(verifier, Some(identity), exchange, Arc::clone(&self.clock));
        let tls = tls.map_err(|error| dialing(&error))?;
        let authority: Authority = self.server.address.parse().map_err(|error| dialing(&error))?;
        server_channel(ServerDialer::new([self.server.address.clone()], tls), authority)
            .map_err(|error| dialing(&error))
    }
}
