//! The service itself: validate, attest, answer.

use std::sync::Arc;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use steeple_api::workload::spiffe_workload_api_server::SpiffeWorkloadApi;
use steeple_api::workload::*;
use steeple_ca::jwt::{JwtKeySet, keep_allowed_claims, validate};
use steeple_core::{Clock, Entry, SpiffeId};
use tonic::{Request, Response, Status};

use super::streams::{Messages, WithoutIdentity, follow, no_identity};
use super::{JwtSource, encode, fetched};
use crate::attest::{Caller, WorkloadAttestors};
use crate::cache::{Cache, Views, WorkloadView, of_spiffe_id};
use crate::rate_limit::{CallerLimits, LimitedCall};

/// Configuration that workloads notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadPolicy {
    pub allow_unauthenticated_verifiers: bool,
    pub allowed_foreign_jwt_claims: Vec<String>,
    /// Selector prefixes that are logged when no identity was issued.
    pub log_selectors: Vec<String>,
}

pub struct WorkloadApi {
    pub cache: Arc<Cache>,
    pub attestors: Arc<WorkloadAttestors>,
    pub jwt: Arc<JwtSource>,
    pub policy: WorkloadPolicy,
    pub limits: Arc<CallerLimits>,
    pub clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for WorkloadApi {
    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Messages<X509svidResponse>>, Status> {
        let caller = self.admit(&request, LimitedCall::FetchX509Svid).await?;
        let clock = Arc::clone(&self.clock);
        let encode = move |view: &WorkloadView| {
            // Right after the entries changed there may be nothing minted yet: an empty list is no message.
            let message = encode::x509_svids(view);
            fetched::x509_svids(view, clock.now());
            Ok(Some(message).filter(|message| !message.svids.is_empty()))
        };
        Ok(Response::new(self.follow(caller, WithoutIdentity::Deny, encode)))
    }

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Messages<X509BundlesResponse>>, Status> {
        let caller = self.admit(&request, LimitedCall::FetchX509Bundles).await?;
        let mut previous = None;
        let encode = move |view: &WorkloadView| Ok(news(&mut previous, encode::x509_bundles(view.bundles())));
        Ok(Response::new(self.follow(caller, self.for_bundles(), encode)))
    }

    async fn fetch_jwtsvid(&self, request: Request<JwtsvidRequest>) -> Result<Response<JwtsvidResponse>, Status> {
        if request.get_ref().audience.is_empty() {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        let wanted = match request.get_ref().spiffe_id.as_str() {
            "" => None,
            text => Some(
                SpiffeId::parse(text)
                    .map_err(|error| Status::invalid_argument(format!("invalid requested SPIFFE ID: {error}")))?,
            ),
        };
        let caller = self.admit(&request, LimitedCall::FetchJwtSvid).await?;
        let mut entries = of_spiffe_id(self.cache.matching(&caller.selectors), wanted.as_ref());
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        if entries.is_empty() {
            self.policy.log_without_identity(&caller);
            return Err(no_identity());
        }
        let audience = request.into_inner().audience;
        let mut svids = Vec::with_capacity(entries.len());
        for entry in entries {
            let token = self
                .jwt
                .fetch(&entry, &audience)
                .await
                .map_err(|status| Status::unavailable(format!("could not fetch JWT-SVID: {}", status.message())))?;
            fetched::jwt_svid(&entry.spiffe_id, token.expires_at, self.clock.now());
            svids.push(jwt_to_wire(&entry, &token.token));
        }
        Ok(Response::new(JwtsvidResponse { svids }))
    }

    async fn fetch_jwt_bundles(
        &self,
        request: Request<JwtBundlesRequest>,
    ) -> Result<Response<Messages<JwtBundlesResponse>>, Status> {
        let caller = self.admit(&request, LimitedCall::FetchJwtBundles).await?;
        let mut previous = None;
        let encode = move |view: &WorkloadView| {
            let message = encode::jwt_bundles(view.bundles())
                .map_err(|error| Status::unavailable(format!("could not serialize response: {error}")))?;
            Ok(news(&mut previous, message))
        };
        Ok(Response::new(self.follow(caller, self.for_bundles(), encode)))
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        if request.get_ref().audience.is_empty() {
            return Err(Status::invalid_argument("audience must be specified"));
        }
        if request.get_ref().svid.is_empty() {
            return Err(Status::invalid_argument("svid must be specified"));
        }
        let caller = self.attestors.attest_caller(&request).await?;
        let request = request.into_inner();
        let view = self.cache.view(&caller.selectors);
        let keys = JwtKeySet::from_bundles(view.bundles());
        let mut valid = validate(&request.svid, std::slice::from_ref(&request.audience), self.clock.now(), &keys)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if !valid.spiffe_id.is_member_of(self.cache.trust_domain()) {
            keep_allowed_claims(&mut valid.claims, &self.policy.allowed_foreign_jwt_claims);
        }
        let fields = valid.claims.into_iter().map(|(name, value)| (name, to_protobuf(value))).collect();
        Ok(Response::new(ValidateJwtsvidResponse {
            spiffe_id: valid.spiffe_id.to_string(),
            claims: Some(Struct { fields }),
        }))
    }

    async fn fetch_witsvid(
        &self,
        _request: Request<WitsvidRequest>,
    ) -> Result<Response<Messages<WitsvidResponse>>, Status> {
        Err(Status::unimplemented("fetching WIT-SVIDs is not implemented"))
    }

    async fn fetch_wit_bundles(
        &self,
        _request: Request<WitBundlesRequest>,
    ) -> Result<Response<Messages<WitBundlesResponse>>, Status> {
        Err(Status::unimplemented("fetching WIT bundles is not implemented"))
    }
}

impl WorkloadApi {
    async fn admit<T>(&self, request: &Request<T>, call: LimitedCall) -> Result<Caller, Status> {
        let caller = self.attestors.attest_caller(request).await?;
        self.limits.check(call, &caller.selectors)?;
        Ok(caller)
    }

    fn follow<T: Send + 'static>(
        &self,
        caller: Caller,
        without_identity: WithoutIdentity,
        encode: impl FnMut(&WorkloadView) -> Result<Option<T>, Status> + Send + 'static,
    ) -> Messages<T> {
        let views = Views::of(&self.cache, caller.selectors.clone());
        let policy = self.policy.clone();
        follow(views, without_identity, move || policy.log_without_identity(&caller), encode)
    }

    fn for_bundles(&self) -> WithoutIdentity {
        if self.policy.allow_unauthenticated_verifiers { WithoutIdentity::Serve } else { WithoutIdentity::Deny }
    }
}

impl WorkloadPolicy {
    fn log_without_identity(&self, caller: &Caller) {
        let named: Vec<String> = caller
            .selectors
            .iter()
            .map(ToString::to_string)
            .filter(|selector| self.log_selectors.iter().any(|prefix| selector.starts_with(prefix)))
            .collect();
        tracing::error!(registered = false, selectors = ?named, "No identity issued");
    }
}

/// Bundle streams suppress a message that is identical to the one before.
fn news<T: Clone + PartialEq>(previous: &mut Option<T>, message: T) -> Option<T> {
    if previous.as_ref() == Some(&message) {
        return None;
    }
    *previous = Some(message.clone());
    Some(message)
}

fn jwt_to_wire(entry: &Entry, token: &str) -> Jwtsvid {
    Jwtsvid { spiffe_id: entry.spiffe_id.to_string(), svid: token.to_owned(), hint: entry.hint.clone() }
}

fn to_protobuf(value: serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(flag),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(to_protobuf).collect() })
        }
        serde_json::Value::Object(members) => Kind::StructValue(Struct {
            fields: members.into_iter().map(|(name, value)| (name, to_protobuf(value))).collect(),
        }),
    };
    Value { kind: Some(kind) }
}
