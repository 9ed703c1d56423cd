//! The service itself: who calls, whom does it mean, answer.

use std::sync::Arc;

use prost_types::Any;
use steeple_api::broker::api_server::Api;
use steeple_api::broker::*;
use steeple_core::{Bundle, SpiffeId};
use tonic::{Request, Response, Status};

use super::callers::{Caller, Callers};
use super::encode;
use crate::attest::{Referred, WorkloadAttestors};
use crate::cache::{Cache, Views, WorkloadView, of_spiffe_id, without_duplicate_hints};
use crate::delegated_identity::encode::is_delegable;
use crate::workload_api::{
    JwtSource, Messages, WithoutIdentity, encode as workload, follow, follow_bundles, no_identity,
};

pub struct BrokerApi {
    pub cache: Arc<Cache>,
    pub attestors: Arc<WorkloadAttestors>,
    pub jwt: Arc<JwtSource>,
    pub callers: Arc<Callers>,
}

/// A broker, and the workload that it means: both may end while a stream goes on.
struct Admitted {
    callers: Arc<Callers>,
    caller: Caller,
    referred: Referred,
}

#[tonic::async_trait]
impl Api for BrokerApi {
    async fn subscribe_to_x509svid(
        &self,
        request: Request<SubscribeToX509svidRequest>,
    ) -> Result<Response<Messages<SubscribeToX509svidResponse>>, Status> {
        let caller = self.callers.caller(&request)?;
        let admitted = self.admit(caller, request.into_inner().reference).await?;
        let views = Views::of(&self.cache, admitted.referred.selectors.clone());
        let encode = move |view: &WorkloadView| {
            admitted.check()?;
            Ok(Some(encode::x509_svids(view)))
        };
        Ok(Response::new(follow(views, WithoutIdentity::Serve, || {}, encode)))
    }

    async fn subscribe_to_x509_bundles(
        &self,
        request: Request<SubscribeToX509BundlesRequest>,
    ) -> Result<Response<Messages<SubscribeToX509BundlesResponse>>, Status> {
        let caller = self.callers.caller(&request)?;
        let admitted = self.admit(caller, request.into_inner().reference).await?;
        let encode = |bundles: &[Arc<Bundle>]| {
            let bundles = workload::x509_bundles(bundles.iter().map(AsRef::as_ref)).bundles;
            Ok(SubscribeToX509BundlesResponse { crl: Vec::new(), bundles })
        };
        let check = move || admitted.check();
        Ok(Response::new(follow_bundles(Arc::clone(&self.cache), check, encode)))
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<FetchJwtsvidRequest>,
    ) -> Result<Response<FetchJwtsvidResponse>, Status> {
        if request.get_ref().audience.is_empty() {
            tracing::error!("Missing required audience parameter");
            return Err(Status::invalid_argument("audience must be specified"));
        }
        let wanted = wanted(&request.get_ref().spiffe_id)?;
        let caller = self.callers.caller(&request)?;
        let FetchJwtsvidRequest { reference, audience, .. } = request.into_inner();
        let admitted = self.admit(caller, reference).await?;
        let matching = without_duplicate_hints(self.cache.matching(&admitted.referred.selectors));
        let entries = of_spiffe_id(matching, wanted.as_ref());
        let mut svids = Vec::new();
        for entry in entries.iter().filter(|entry| is_delegable(entry)) {
            let token = self.jwt.fetch(entry, &audience).await.map_err(|status| {
                tracing::error!(spiffe_id = %entry.spiffe_id, error = status.message(), "Could not fetch JWT-SVID");
                Status::unavailable(format!("could not fetch JWT-SVID: {}", status.message()))
            })?;
            svids.push(encode::jwt_svid(entry, &token.token));
        }
        admitted.check()?;
        if svids.is_empty() {
            tracing::error!("No identity issued");
            return Err(no_identity());
        }
        Ok(Response::new(FetchJwtsvidResponse { svids }))
    }

    async fn subscribe_to_jwt_bundles(
        &self,
        request: Request<SubscribeToJwtBundlesRequest>,
    ) -> Result<Response<Messages<SubscribeToJwtBundlesResponse>>, Status> {
        let caller = self.callers.caller(&request)?;
        let admitted = self.admit(caller, request.into_inner().reference).await?;
        let encode = |bundles: &[Arc<Bundle>]| {
            let encoded = workload::jwt_bundles(bundles.iter().map(AsRef::as_ref))
                .map_err(|error| Status::internal(format!("could not serialize response: {error}")))?;
            Ok(SubscribeToJwtBundlesResponse { bundles: encoded.bundles })
        };
        let check = move || admitted.check();
        Ok(Response::new(follow_bundles(Arc::clone(&self.cache), check, encode)))
    }
}

impl BrokerApi {
    async fn admit(&self, caller: Caller, reference: Option<WorkloadReference>) -> Result<Admitted, Status> {
        let reference: Option<Any> = reference.and_then(|reference| reference.reference);
        let reference = self.callers.reference(caller.clone(), reference)?;
        let referred = self.attestors.attest_reference(&reference).await.inspect_err(|status| {
            tracing::error!(error = status.message(), "Workload attestation failed");
        })?;
        Ok(Admitted { callers: Arc::clone(&self.callers), caller, referred })
    }
}

impl Admitted {
    fn check(&self) -> Result<(), Status> {
        self.callers.check(&self.caller)?;
        self.referred.check()
    }
}

fn wanted(text: &str) -> Result<Option<SpiffeId>, Status> {
    let parsed = (!text.is_empty()).then(|| SpiffeId::parse(text)).transpose();
    parsed.map_err(|error| Status::invalid_argument(format!("invalid requested SPIFFE ID: {error}")))
}
