//! `spire.api.server.trustdomain.v1.TrustDomain`: federation relationships.

use std::sync::Arc;

use steeple_api::convert::{relationship_from_wire, relationship_to_wire, trust_domain_from_wire};
use steeple_api::server::trustdomain::trust_domain_server::TrustDomain as TrustDomainApi;
use steeple_api::server::trustdomain::*;
use steeple_api::{status, types};
use steeple_core::TrustDomain;
use steeple_state::{CommandKind, Outcome, Relationship, RelationshipDraft, RelationshipMask, RelationshipUpdate};
use tonic::{Code, Request, Response, Status};

use super::failure::{self, may_change};
use super::query::{bad_token, invalid, page, refuse_endless};
use super::shared::{Shared, unexpected};
use crate::authz::{Authorized, authorized};
use crate::federation::fetch;

pub struct TrustDomainService {
    pub shared: Arc<Shared>,
}

type Item = Result<(), types::Status>;

#[tonic::async_trait]
impl TrustDomainApi for TrustDomainService {
    async fn list_federation_relationships(
        &self,
        request: Request<ListFederationRelationshipsRequest>,
    ) -> Result<Response<ListFederationRelationshipsResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let view = self.shared.fresh().await?;
        let page = {
            let state = view.state();
            state
                .relationships_where(page(request.page_size, &request.page_token), |name| caller.sees_domain(name))
                .map_err(bad_token("failed to list federation relationships"))?
        };
        let mask = request.output_mask.as_ref();
        Ok(Response::new(ListFederationRelationshipsResponse {
            federation_relationships: page.items.iter().map(|found| to_wire(found, mask)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn get_federation_relationship(
        &self,
        request: Request<GetFederationRelationshipRequest>,
    ) -> Result<Response<types::FederationRelationship>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let trust_domain = trust_domain_from_wire(&request.trust_domain)
            .map_err(|error| invalid("failed to parse trust domain", &error))?;
        let view = self.shared.fresh().await?;
        let found = view.state().relationship(&trust_domain).filter(|_| caller.sees_domain(&trust_domain));
        let found = found.ok_or_else(|| Status::not_found("federation relationship does not exist"))?;
        Ok(Response::new(to_wire(&found, request.output_mask.as_ref())))
    }

    async fn batch_create_federation_relationship(
        &self,
        request: Request<BatchCreateFederationRelationshipRequest>,
    ) -> Result<Response<BatchCreateFederationRelationshipResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        refuse_endless(request.federation_relationships.len())?;
        let (items, relationships) = drafts(&caller, &request.federation_relationships);
        let command = CommandKind::CreateRelationships { relationships };
        let results = self.batch(&caller, items, command).await?;
        let mask = request.output_mask.as_ref();
        let results =
            results.into_iter().map(|(status, found)| batch_create_federation_relationship_response::Result {
                status: Some(status),
                federation_relationship: found.map(|found| to_wire(&found, mask)),
            });
        Ok(Response::new(BatchCreateFederationRelationshipResponse { results: results.collect() }))
    }

    async fn batch_update_federation_relationship(
        &self,
        request: Request<BatchUpdateFederationRelationshipRequest>,
    ) -> Result<Response<BatchUpdateFederationRelationshipResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        refuse_endless(request.federation_relationships.len())?;
        let (items, drafts) = drafts(&caller, &request.federation_relationships);
        let mask = request.input_mask.as_ref().map_or(RelationshipMask::ALL, mask_from_wire);
        let updates = drafts.into_iter().map(|draft| RelationshipUpdate { draft, mask }).collect();
        let results = self.batch(&caller, items, CommandKind::UpdateRelationships { updates }).await?;
        let mask = request.output_mask.as_ref();
        let results =
            results.into_iter().map(|(status, found)| batch_update_federation_relationship_response::Result {
                status: Some(status),
                federation_relationship: found.map(|found| to_wire(&found, mask)),
            });
        Ok(Response::new(BatchUpdateFederationRelationshipResponse { results: results.collect() }))
    }

    async fn batch_delete_federation_relationship(
        &self,
        request: Request<BatchDeleteFederationRelationshipRequest>,
    ) -> Result<Response<BatchDeleteFederationRelationshipResponse>, Status> {
        let caller = authorized(&request)?;
        let names = request.into_inner().trust_domains;
        refuse_endless(names.len())?;
        let mut trust_domains: Vec<TrustDomain> = Vec::with_capacity(names.len());
        let items: Vec<Item> = names
            .iter()
            .map(|name| {
                let trust_domain = deletable(name)?;
                may_change(&caller, &trust_domain)?;
                trust_domains.push(trust_domain);
                Ok(())
            })
            .collect();
        let mut parsed = trust_domains.clone().into_iter();
        let mut deleted = Vec::new();
        if !trust_domains.is_empty() {
            match self.shared.propose(&caller, CommandKind::DeleteRelationships { trust_domains }).await? {
                Outcome::Deleted(results) => deleted = results,
                _ => return Err(unexpected()),
            }
        }
        let mut deleted = deleted.into_iter();
        // What could not be read is named as it came.
        let results = items.into_iter().zip(names).map(|(item, name)| {
            let (status, trust_domain) = match item {
                Err(status) => (status, name),
                Ok(()) => {
                    let status = match deleted.next() {
                        Some(Ok(())) => status::ok(),
                        Some(Err(why)) => failure::item(&why),
                        None => failure::item_of(Code::Internal, "no outcome"),
                    };
                    (status, parsed.next().map_or(name, |trust_domain| trust_domain.name().to_owned()))
                }
            };
            batch_delete_federation_relationship_response::Result { status: Some(status), trust_domain }
        });
        Ok(Response::new(BatchDeleteFederationRelationshipResponse { results: results.collect() }))
    }

    /// On the replica that is asked, at once; the leader's schedule goes on as it was.
    async fn refresh_bundle(&self, request: Request<RefreshBundleRequest>) -> Result<Response<()>, Status> {
        let caller = authorized(&request)?;
        let trust_domain = trust_domain_from_wire(&request.into_inner().trust_domain)
            .map_err(|error| invalid("failed to parse trust domain", &error))?;
        if let Some(rights) = caller.rights() {
            rights.allow_domain(&trust_domain)?;
        }
        let shared = &self.shared;
        let relationship = shared.relationships.of(&shared.fresh().await?.state(), &trust_domain);
        let relationship = relationship
            .ok_or_else(|| Status::not_found(format!("no relationship with trust domain \"{trust_domain}\"")))?;
        let fetched = fetch(&shared.replica, &relationship, &shared.clock).await;
        let fetched = fetched.map_err(|error| Status::internal(format!("failed to refresh bundle: {error}")))?;
        if let Some(bundle) = fetched {
            self.shared.propose(&caller, CommandKind::SetBundles { bundles: vec![Arc::new(bundle)] }).await?;
        }
        tracing::debug!(trust_domain_id = %trust_domain, "Bundle refreshed");
        Ok(Response::new(()))
    }
}

impl TrustDomainService {
    async fn batch(
        &self,
        caller: &Authorized,
        items: Vec<Item>,
        command: CommandKind,
    ) -> Result<Vec<(types::Status, Option<Relationship>)>, Status> {
        let mut done = Vec::new();
        if items.iter().any(Result::is_ok) {
            match self.shared.propose(caller, command).await? {
                Outcome::Relationships(results) => done = results,
                _ => return Err(unexpected()),
            }
        }
        let mut done = done.into_iter();
        let results = items.into_iter().map(|item| match item {
            Err(status) => (status, None),
            Ok(()) => match done.next() {
                Some(Ok(found)) => (status::ok(), Some(found)),
                Some(Err(why)) => (failure::item(&why), None),
                None => (failure::item_of(Code::Internal, "no outcome"), None),
            },
        });
        Ok(results.collect())
    }
}

fn drafts(caller: &Authorized, wires: &[types::FederationRelationship]) -> (Vec<Item>, Vec<RelationshipDraft>) {
    let mut drafts = Vec::with_capacity(wires.len());
    let items = wires
        .iter()
        .map(|wire| {
            let (relationship, bundle) = relationship_from_wire(wire).map_err(|error| {
                let message = format!("failed to convert federation relationship: {error}");
                failure::item_of(Code::InvalidArgument, message)
            })?;
            may_change(caller, &relationship.trust_domain)?;
            drafts.push(RelationshipDraft { relationship, bundle: bundle.map(Arc::new) });
            Ok(())
        })
        .collect();
    (items, drafts)
}

fn deletable(name: &str) -> Result<TrustDomain, types::Status> {
    let invalid = |message: String| failure::item_of(Code::InvalidArgument, message);
    if name.is_empty() {
        return Err(invalid("missing trust domain".to_owned()));
    }
    trust_domain_from_wire(name).map_err(|error| invalid(format!("failed to parse trust domain: {error}")))
}

fn to_wire(found: &Relationship, mask: Option<&types::FederationRelationshipMask>) -> types::FederationRelationship {
    relationship_to_wire(&found.relationship, found.bundle.as_deref(), mask)
}

fn mask_from_wire(wire: &types::FederationRelationshipMask) -> RelationshipMask {
    RelationshipMask {
        bundle_endpoint_url: wire.bundle_endpoint_url,
        bundle_endpoint_profile: wire.bundle_endpoint_profile,
        trust_domain_bundle: wire.trust_domain_bundle,
    }
}
