//! `spire.api.server.bundle.v1.Bundle`.

use std::sync::Arc;

use steeple_api::convert::{
    bundle_from_wire, bundle_to_wire, jwt_authority_from_wire, jwt_authority_to_wire, trust_domain_from_wire,
    x509_authority_from_wire,
};
use steeple_api::server::bundle::batch_delete_federated_bundle_request::Mode;
use steeple_api::server::bundle::bundle_server::Bundle as BundleApi;
use steeple_api::server::bundle::*;
use steeple_api::{status, types};
use steeple_core::{Bundle, TrustDomain};
use steeple_state::{BundleMask, BundleUpdate, CommandKind, DeleteMode, Outcome};
use tonic::{Code, Request, Response, Status};

use super::failure::{self, may_change};
use super::query::{bad_token, invalid, page, refuse_endless};
use super::shared::{Shared, unexpected};
use crate::authz::{Authorized, authorized, calling_holder};

pub struct BundleService {
    pub shared: Arc<Shared>,
}

/// One item of a batch: refused before proposing, or its place among the proposed.
type Item = Result<(), types::Status>;

#[tonic::async_trait]
impl BundleApi for BundleService {
    async fn count_bundles(
        &self,
        request: Request<CountBundlesRequest>,
    ) -> Result<Response<CountBundlesResponse>, Status> {
        let caller = authorized(&request)?;
        let view = self.shared.fresh().await?;
        let count = view.state().count_bundles_where(|name| caller.sees_domain(name));
        Ok(Response::new(CountBundlesResponse { count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    /// Who got the keys, holds them.
    async fn get_bundle(&self, request: Request<GetBundleRequest>) -> Result<Response<types::Bundle>, Status> {
        let caller = authorized(&request)?;
        let mask = request.into_inner().output_mask;
        let view = self.shared.fresh().await?;
        let bundle = view.state().own_bundle().cloned().ok_or_else(not_found)?;
        let holder = calling_holder(&view.state(), caller.caller(), self.shared.clock.now());
        let has_keys = mask.as_ref().is_none_or(|mask| mask.x509_authorities && mask.jwt_authorities);
        if let Some((holder, identity)) = holder.filter(|_| has_keys) {
            self.shared.acknowledgements.fetched(holder, identity, bundle.sequence);
        }
        Ok(Response::new(bundle_to_wire(&bundle, mask.as_ref())))
    }

    async fn append_bundle(&self, request: Request<AppendBundleRequest>) -> Result<Response<types::Bundle>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        if request.x509_authorities.is_empty() && request.jwt_authorities.is_empty() {
            return Err(Status::invalid_argument("no authorities to append"));
        }
        let mut jwt_authorities = Vec::with_capacity(request.jwt_authorities.len());
        for wire in &request.jwt_authorities {
            let mut authority =
                jwt_authority_from_wire(wire).map_err(|error| invalid("failed to convert JWT authority", &error))?;
            authority.tainted = false;
            jwt_authorities.push(authority);
        }
        let mut x509_authorities = Vec::with_capacity(request.x509_authorities.len());
        for wire in &request.x509_authorities {
            let authority =
                x509_authority_from_wire(wire).map_err(|error| invalid("failed to convert X.509 authority", &error))?;
            x509_authorities.push(authority.der);
        }
        let command = CommandKind::AppendBundle { x509_authorities, jwt_authorities };
        let Outcome::Bundle(bundle) = self.shared.propose(&caller, command).await? else { return Err(unexpected()) };
        Ok(Response::new(bundle_to_wire(&bundle, request.output_mask.as_ref())))
    }

    async fn publish_jwt_authority(
        &self,
        request: Request<PublishJwtAuthorityRequest>,
    ) -> Result<Response<PublishJwtAuthorityResponse>, Status> {
        let caller = authorized(&request)?;
        let wire = request.into_inner().jwt_authority;
        let wire = wire.ok_or_else(|| Status::invalid_argument("missing JWT authority"))?;
        let authority = jwt_authority_from_wire(&wire).map_err(|error| invalid("invalid JWT authority", &error))?;
        if let Some(upstream) = &self.shared.maker.upstream {
            let published = upstream.publish_jwt_key(&authority).await;
            published.map_err(|error| Status::internal(format!("failed to publish JWT key: {error}")))?;
        }
        let command = CommandKind::PublishJwtAuthority { authority };
        let Outcome::Bundle(bundle) = self.shared.propose(&caller, command).await? else { return Err(unexpected()) };
        let jwt_authorities = bundle.jwt_authorities.iter().map(jwt_authority_to_wire).collect();
        Ok(Response::new(PublishJwtAuthorityResponse { jwt_authorities }))
    }

    async fn publish_wit_authority(
        &self,
        _request: Request<PublishWitAuthorityRequest>,
    ) -> Result<Response<PublishWitAuthorityResponse>, Status> {
        Err(Status::unimplemented("WIT-SVID functionality is not yet implemented"))
    }

    async fn list_federated_bundles(
        &self,
        request: Request<ListFederatedBundlesRequest>,
    ) -> Result<Response<ListFederatedBundlesResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let view = self.shared.fresh().await?;
        let page = {
            let state = view.state();
            state
                .federated_bundles_where(page(request.page_size, &request.page_token), |name| caller.sees_domain(name))
                .map_err(bad_token("failed to list bundles"))?
        };
        let mask = request.output_mask.as_ref();
        Ok(Response::new(ListFederatedBundlesResponse {
            bundles: page.items.iter().map(|bundle| bundle_to_wire(bundle, mask)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn get_federated_bundle(
        &self,
        request: Request<GetFederatedBundleRequest>,
    ) -> Result<Response<types::Bundle>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let trust_domain = trust_domain_from_wire(&request.trust_domain)
            .map_err(|error| invalid("trust domain argument is not valid", &error))?;
        if trust_domain == self.shared.trust_domain {
            return Err(Status::invalid_argument(
                "getting a federated bundle for the server's own trust domain is not allowed",
            ));
        }
        let view = self.shared.fresh().await?;
        let bundle = view.state().bundle(&trust_domain).cloned();
        let bundle = bundle.filter(|_| caller.sees_domain(&trust_domain)).ok_or_else(not_found)?;
        Ok(Response::new(bundle_to_wire(&bundle, request.output_mask.as_ref())))
    }

    async fn batch_create_federated_bundle(
        &self,
        request: Request<BatchCreateFederatedBundleRequest>,
    ) -> Result<Response<BatchCreateFederatedBundleResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        refuse_endless(request.bundle.len())?;
        let (items, bundles) = self.drafts(&caller, &request.bundle, "creating");
        let results =
            self.batch(&caller, items, (!bundles.is_empty()).then_some(CommandKind::CreateBundles { bundles })).await?;
        let mask = request.output_mask.as_ref();
        let results = results.into_iter().map(|(status, bundle)| batch_create_federated_bundle_response::Result {
            status: Some(status),
            bundle: bundle.map(|bundle| bundle_to_wire(&bundle, mask)),
        });
        Ok(Response::new(BatchCreateFederatedBundleResponse { results: results.collect() }))
    }

    async fn batch_update_federated_bundle(
        &self,
        request: Request<BatchUpdateFederatedBundleRequest>,
    ) -> Result<Response<BatchUpdateFederatedBundleResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        refuse_endless(request.bundle.len())?;
        let input_mask = request.input_mask.as_ref();
        let (items, bundles) = self.drafts(&caller, &request.bundle, "updating");
        let mask = input_mask.map_or(BundleMask::ALL, mask_from_wire);
        let updates: Vec<_> = bundles.into_iter().map(|bundle| BundleUpdate { bundle, mask }).collect();
        let results =
            self.batch(&caller, items, (!updates.is_empty()).then_some(CommandKind::UpdateBundles { updates })).await?;
        let mask = request.output_mask.as_ref();
        let results = results.into_iter().map(|(status, bundle)| batch_update_federated_bundle_response::Result {
            status: Some(status),
            bundle: bundle.map(|bundle| bundle_to_wire(&bundle, mask)),
        });
        Ok(Response::new(BatchUpdateFederatedBundleResponse { results: results.collect() }))
    }

    async fn batch_set_federated_bundle(
        &self,
        request: Request<BatchSetFederatedBundleRequest>,
    ) -> Result<Response<BatchSetFederatedBundleResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        refuse_endless(request.bundle.len())?;
        let (items, bundles) = self.drafts(&caller, &request.bundle, "setting");
        let results =
            self.batch(&caller, items, (!bundles.is_empty()).then_some(CommandKind::SetBundles { bundles })).await?;
        for bundle in results.iter().filter_map(|(_, bundle)| bundle.as_ref()) {
            tracing::info!(trust_domain_id = %bundle.trust_domain, "Bundle set successfully");
        }
        let mask = request.output_mask.as_ref();
        let results = results.into_iter().map(|(status, bundle)| batch_set_federated_bundle_response::Result {
            status: Some(status),
            bundle: bundle.map(|bundle| bundle_to_wire(&bundle, mask)),
        });
        Ok(Response::new(BatchSetFederatedBundleResponse { results: results.collect() }))
    }

    async fn batch_delete_federated_bundle(
        &self,
        request: Request<BatchDeleteFederatedBundleRequest>,
    ) -> Result<Response<BatchDeleteFederatedBundleResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        refuse_endless(request.trust_domains.len())?;
        let mode = match Mode::try_from(request.mode) {
            Ok(Mode::Restrict) => DeleteMode::Restrict,
            Ok(Mode::Delete) => DeleteMode::Delete,
            Ok(Mode::Dissociate) => DeleteMode::Dissociate,
            Err(_) => {
                let why = format!("failed to parse deletion mode: unhandled delete mode \"{}\"", request.mode);
                return Err(Status::invalid_argument(why));
            }
        };
        if let (Some(rights), false) = (caller.rights(), mode == DeleteMode::Restrict) {
            return Err(rights.never("a mode that changes entries").into());
        }
        let mut trust_domains = Vec::with_capacity(request.trust_domains.len());
        let items: Vec<Item> = request
            .trust_domains
            .iter()
            .map(|name| {
                let trust_domain = self.deletable(name)?;
                may_change(&caller, &trust_domain)?;
                trust_domains.push(trust_domain);
                Ok(())
            })
            .collect();
        let mut deleted = Vec::new();
        if !trust_domains.is_empty() {
            match self.shared.propose(&caller, CommandKind::DeleteBundles { trust_domains, mode }).await? {
                Outcome::Deleted(results) => deleted = results,
                _ => return Err(unexpected()),
            }
        }
        let mut deleted = deleted.into_iter();
        let results = items.into_iter().zip(request.trust_domains).map(|(item, trust_domain)| {
            let status = match item {
                Err(status) => status,
                Ok(()) => match deleted.next() {
                    Some(Ok(())) => status::ok(),
                    Some(Err(why)) => failure::item(&why),
                    None => failure::item_of(Code::Internal, "no outcome"),
                },
            };
            batch_delete_federated_bundle_response::Result { status: Some(status), trust_domain }
        });
        Ok(Response::new(BatchDeleteFederatedBundleResponse { results: results.collect() }))
    }
}

impl BundleService {
    /// What passes the conversion is proposed together; the rest has its status already.
    fn drafts(&self, caller: &Authorized, wires: &[types::Bundle], doing: &str) -> (Vec<Item>, Vec<Arc<Bundle>>) {
        let mut bundles = Vec::with_capacity(wires.len());
        let items = wires
            .iter()
            .map(|wire| {
                let bundle = self.draft(wire, doing)?;
                may_change(caller, &bundle.trust_domain)?;
                bundles.push(Arc::new(bundle));
                Ok(())
            })
            .collect();
        (items, bundles)
    }

    /// Reads the whole bundle, also when an update's mask names little of it (SPIRE behaviour).
    fn draft(&self, wire: &types::Bundle, doing: &str) -> Result<Bundle, types::Status> {
        let invalid = |message: String| failure::item_of(Code::InvalidArgument, message);
        let trust_domain = trust_domain_from_wire(&wire.trust_domain)
            .map_err(|error| invalid(format!("trust domain argument is not valid: {error}")))?;
        if trust_domain == self.shared.trust_domain {
            let what = "a federated bundle for the server's own trust domain is not allowed";
            return Err(invalid(format!("{doing} {what}")));
        }
        let bundle =
            bundle_from_wire(wire, None).map_err(|error| invalid(format!("failed to convert bundle: {error}")))?;
        // Taint is the issuing domain's business; what a client says of it is ignored (SPIRE behaviour).
        Ok(bundle.untainted())
    }

    async fn batch(
        &self,
        caller: &Authorized,
        items: Vec<Item>,
        command: Option<CommandKind>,
    ) -> Result<Vec<(types::Status, Option<Arc<Bundle>>)>, Status> {
        let mut done = match command {
            None => Vec::new(),
            Some(command) => match self.shared.propose(caller, command).await? {
                Outcome::Bundles(results) => results,
                _ => return Err(unexpected()),
            },
        }
        .into_iter();
        let results = items.into_iter().map(|item| match item {
            Err(status) => (status, None),
            Ok(()) => match done.next() {
                Some(Ok(bundle)) => (status::ok(), Some(bundle)),
                Some(Err(why)) => (failure::item(&why), None),
                None => (failure::item_of(Code::Internal, "no outcome"), None),
            },
        });
        Ok(results.collect())
    }

    fn deletable(&self, name: &str) -> Result<TrustDomain, types::Status> {
        let invalid = |message: String| failure::item_of(Code::InvalidArgument, message);
        let trust_domain = trust_domain_from_wire(name)
            .map_err(|error| invalid(format!("trust domain argument is not valid: {error}")))?;
        if trust_domain == self.shared.trust_domain {
            return Err(invalid("removing the bundle for the server trust domain is not allowed".to_owned()));
        }
        Ok(trust_domain)
    }
}

fn mask_from_wire(wire: &types::BundleMask) -> BundleMask {
    BundleMask {
        x509_authorities: wire.x509_authorities,
        jwt_authorities: wire.jwt_authorities,
        refresh_hint: wire.refresh_hint,
        sequence: wire.sequence_number,
    }
}

fn not_found() -> Status {
    Status::not_found("bundle not found")
}
