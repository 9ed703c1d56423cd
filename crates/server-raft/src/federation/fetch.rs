//! One bundle from its endpoint, authenticated as the relationship says.

use std::sync::Arc;

use http::StatusCode;
use rustls::client::danger::ServerCertVerifier;
use steeple_ca::jwks::{BUNDLE_BYTES_MAX, JwksError, parse_spiffe_bundle};
use steeple_core::{Bundle, BundleEndpointProfile, Clock, FederationRelationship};
use steeple_state::State;
use steeple_transport::client::{HttpsError, https_get};
use steeple_transport::tls::{
    RootsError, ServerIdVerifier, TrustRoots, WebRootsError, WebVerifier, https_client_config,
};

use crate::raft::Replica;

/// Why a bundle was not refreshed; the one that is held stays. The texts are SPIRE's where it has one.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    #[error("can't perform SPIFFE Authentication: local copy of bundle not found")]
    NoLocalBundle,
    #[error("can't perform SPIFFE Authentication: {0}")]
    UnusableRoots(#[from] RootsError),
    #[error("failed to fetch federated bundle from endpoint: {0}")]
    WebRoots(#[from] WebRootsError),
    #[error("failed to fetch federated bundle from endpoint: failed to fetch bundle: Get \"{url}\": {source}")]
    Get { url: String, source: HttpsError },
    #[error("failed to fetch federated bundle from endpoint: unexpected status {status} fetching bundle: {body}")]
    Status { status: u16, body: String },
    #[error("failed to fetch federated bundle from endpoint: {0}")]
    Document(#[from] JwksError),
    #[error("failed to fetch federated bundle from endpoint: TLS cannot be configured: {0}")]
    Tls(#[from] rustls::Error),
}

/// The bundle that the endpoint shows now, or `None` when it is the one that the state has.
///
/// The document's sequence number plays no part (SPIRE behaviour): an endpoint that was restored from a backup, or
/// whose replicas differ for a moment, must not be ignored.
pub async fn fetch(
    replica: &Replica,
    relationship: &FederationRelationship,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Bundle>, RefreshError> {
    let verifier = match &relationship.profile {
        BundleEndpointProfile::HttpsWeb => web_verifier().await?,
        BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id } => {
            let endpoint_domain = endpoint_spiffe_id.trust_domain();
            let bundle = replica.state().read().bundle(&endpoint_domain).cloned();
            let bundle = bundle.ok_or(RefreshError::NoLocalBundle)?;
            let ders: Vec<&[u8]> = bundle.x509_authorities.iter().map(|root| root.der.as_slice()).collect();
            let roots = TrustRoots::empty().with(endpoint_domain, &ders)?.into_shared();
            ServerIdVerifier::new(roots, endpoint_spiffe_id.clone())
        }
    };
    let tls = https_client_config(verifier, Arc::clone(clock))?;
    let url = &relationship.bundle_endpoint_url;
    let reply = https_get(url, &tls, BUNDLE_BYTES_MAX).await;
    let reply = reply.map_err(|source| RefreshError::Get { url: url.clone(), source })?;
    if reply.status != StatusCode::OK {
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        return Err(RefreshError::Status { status: reply.status.as_u16(), body });
    }
    let fetched = parse_spiffe_bundle(&relationship.trust_domain, &reply.body)?;
    let is_held = holds(&replica.state().read(), &fetched);
    Ok((!is_held).then_some(fetched))
}

async fn web_verifier() -> Result<Arc<dyn ServerCertVerifier>, RefreshError> {
    // Reads the machine's certificate files, each time: roots come and go.
    match tokio::task::spawn_blocking(WebVerifier::with_system_roots).await {
        Ok(verifier) => Ok(verifier?),
        Err(error) => Err(RefreshError::Tls(rustls::Error::General(error.to_string()))),
    }
}

fn holds(state: &State, fetched: &Bundle) -> bool {
    state.bundle(&fetched.trust_domain).is_some_and(|held| **held == *fetched)
}
