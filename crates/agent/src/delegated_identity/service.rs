//! The service itself: admit, find the workload, answer.

use std::sync::Arc;
use std::time::Instant;

use metrics::histogram;
use steeple_api::agent::delegatedidentity::delegated_identity_server::DelegatedIdentity as DelegatedIdentityApi;
use steeple_api::agent::delegatedidentity::*;
use steeple_core::{Bundle, SelectorSet};
use tonic::{Request, Response, Status};

use super::{Delegates, encode};
use crate::cache::{Cache, Views, WorkloadView};
use crate::metrics::DELEGATED_FIRST_UPDATE;
use crate::workload_api::{
    JwtSource, Messages, WithoutIdentity, encode as workload, follow, follow_bundles, no_identity,
};

pub struct DelegatedIdentity {
    pub cache: Arc<Cache>,
    pub delegates: Arc<Delegates>,
    pub jwt: Arc<JwtSource>,
}

#[tonic::async_trait]
impl DelegatedIdentityApi for DelegatedIdentity {
    async fn subscribe_to_x509svi_ds(
        &self,
        request: Request<SubscribeToX509sviDsRequest>,
    ) -> Result<Response<Messages<SubscribeToX509sviDsResponse>>, Status> {
        let begun = Instant::now();
        let delegate = self.delegates.admit(&request).await?;
        let SubscribeToX509sviDsRequest { selectors, pid } = request.into_inner();
        let subject = self.delegates.subject(pid, &selectors).await?;
        tracing::debug!(request_selectors = ?texts(&subject), "Subscribing to cache changes");
        let (delegates, mut first) = (Arc::clone(&self.delegates), Some(begun));
        let encode = move |view: &WorkloadView| {
            delegates.check(&delegate)?;
            if !view.identities.is_empty()
                && let Some(begun) = first.take()
            {
                histogram!(DELEGATED_FIRST_UPDATE).record(begun.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(Some(encode::x509_svids(view)))
        };
        let views = Views::of(&self.cache, subject);
        Ok(Response::new(follow(views, WithoutIdentity::Serve, || {}, encode)))
    }

    async fn subscribe_to_x509_bundles(
        &self,
        request: Request<SubscribeToX509BundlesRequest>,
    ) -> Result<Response<Messages<SubscribeToX509BundlesResponse>>, Status> {
        let delegate = self.delegates.admit(&request).await?;
        let encode = |bundles: &[Arc<Bundle>]| {
            let ca_certificates = workload::x509_bundles(bundles.iter().map(AsRef::as_ref)).bundles;
            Ok(SubscribeToX509BundlesResponse { ca_certificates })
        };
        Ok(Response::new(self.follow_bundles(delegate, encode)))
    }

    async fn fetch_jwtsvi_ds(
        &self,
        request: Request<FetchJwtsviDsRequest>,
    ) -> Result<Response<FetchJwtsviDsResponse>, Status> {
        if request.get_ref().audience.is_empty() {
            tracing::error!("Missing required audience parameter");
            return Err(Status::invalid_argument("audience must be specified"));
        }
        self.delegates.admit(&request).await?;
        let FetchJwtsviDsRequest { audience, selectors, pid } = request.into_inner();
        let subject = self.delegates.subject(pid, &selectors).await?;
        let entries = self.cache.matching(&subject);
        let mut svids = Vec::new();
        for entry in entries.iter().filter(|entry| encode::is_delegable(entry)) {
            let token = self.jwt.fetch(entry, &audience).await.map_err(|status| {
                tracing::error!(spiffe_id = %entry.spiffe_id, error = status.message(), "Could not fetch JWT-SVID");
                Status::unavailable(format!("could not fetch JWT-SVID: {}", status.message()))
            })?;
            svids.push(encode::jwt_svid(entry, &token));
        }
        if svids.is_empty() {
            tracing::error!("No identity issued");
            return Err(no_identity());
        }
        Ok(Response::new(FetchJwtsviDsResponse { svids }))
    }

    async fn subscribe_to_jwt_bundles(
        &self,
        request: Request<SubscribeToJwtBundlesRequest>,
    ) -> Result<Response<Messages<SubscribeToJwtBundlesResponse>>, Status> {
        let delegate = self.delegates.admit(&request).await?;
        let encode = |bundles: &[Arc<Bundle>]| {
            let encoded = workload::jwt_bundles(bundles.iter().map(AsRef::as_ref))
                .map_err(|error| Status::internal(format!("could not serialize response: {error}")))?;
            Ok(SubscribeToJwtBundlesResponse { bundles: encoded.bundles })
        };
        Ok(Response::new(self.follow_bundles(delegate, encode)))
    }
}

impl DelegatedIdentity {
    /// All bundles that the agent knows, at once and whenever they change.
    fn follow_bundles<T: Clone + PartialEq + Send + Sync + 'static>(
        &self,
        delegate: SelectorSet,
        encode: impl Fn(&[Arc<Bundle>]) -> Result<T, Status> + Send + 'static,
    ) -> Messages<T> {
        let delegates = Arc::clone(&self.delegates);
        follow_bundles(Arc::clone(&self.cache), move || delegates.check(&delegate), encode)
    }
}

fn texts(selectors: &SelectorSet) -> Vec<String> {
    selectors.iter().map(ToString::to_string).collect()
}
