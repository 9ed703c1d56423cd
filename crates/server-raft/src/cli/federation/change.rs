//! `federation create`, `federation update` and `federation delete`.

use std::io::Write;

use steeple_api::server::trustdomain::trust_domain_client::TrustDomainClient;
use steeple_api::server::trustdomain::{
    BatchCreateFederationRelationshipRequest, BatchDeleteFederationRelationshipRequest,
    BatchUpdateFederationRelationshipRequest,
};
use steeple_api::types::{FederationRelationship, Status};
use steeple_cli::{Call, Context, Failure, Streams};
use tonic::transport::Channel;

use super::data::relationships;
use super::print::print_relationship;
use crate::cli::reply::{described, is_ok, message};

pub(super) async fn create(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let asked = relationships(call)?;
    let request =
        BatchCreateFederationRelationshipRequest { federation_relationships: asked.clone(), output_mask: None };
    let response = TrustDomainClient::new(channel).batch_create_federation_relationship(request).await;
    let response = response.context("request failed")?.into_inner();
    call.print(&response, |streams, response| {
        let results = response.results.iter();
        let results = results.map(|result| (result.status.as_ref(), result.federation_relationship.as_ref()));
        print_results(streams, "create", results.zip(&asked))
    })
}

pub(super) async fn update(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let asked = relationships(call)?;
    let request = BatchUpdateFederationRelationshipRequest {
        federation_relationships: asked.clone(),
        input_mask: None,
        output_mask: None,
    };
    let response = TrustDomainClient::new(channel).batch_update_federation_relationship(request).await;
    let response = response.context("request failed")?.into_inner();
    call.print(&response, |streams, response| {
        let results = response.results.iter();
        let results = results.map(|result| (result.status.as_ref(), result.federation_relationship.as_ref()));
        print_results(streams, "update", results.zip(&asked))
    })
}

pub(super) async fn delete(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let id = call.values.text_if_any("id").ok_or_else(|| Failure::message("id is required"))?.to_owned();
    let request = BatchDeleteFederationRelationshipRequest { trust_domains: vec![id] };
    let response = TrustDomainClient::new(channel).batch_delete_federation_relationship(request).await;
    let response = response.context("failed to delete federation relationship")?.into_inner();
    call.print(&response, |streams, response| {
        for result in &response.results {
            if !is_ok(result.status.as_ref()) {
                let (id, reason) = (&result.trust_domain, message(result.status.clone()));
                return Err(Failure::Message(format!("failed to delete federation relationship {id:?}: {reason}")));
            }
        }
        Ok(writeln!(streams.stdout, "federation relationship deleted.")?)
    })
}

type Answer<'r> = (Option<&'r Status>, Option<&'r FederationRelationship>);

/// The server sends no relationship with a failure, so what was asked for is shown.
fn print_results<'r>(
    streams: &mut Streams,
    verb: &str,
    results: impl Iterator<Item = (Answer<'r>, &'r FederationRelationship)>,
) -> Result<(), Failure> {
    let (succeeded, failed): (Vec<_>, Vec<_>) = results.partition(|((status, _), _)| is_ok(*status));
    for ((_, relationship), asked) in succeeded {
        writeln!(streams.stdout)?;
        print_relationship(&mut streams.stdout, relationship.unwrap_or(asked))?;
    }
    for ((status, _), asked) in &failed {
        writeln!(streams.stdout)?;
        let described = described(*status);
        writeln!(streams.stderr, "Failed to {verb} the following federation relationship ({described}):")?;
        print_relationship(&mut streams.stderr, asked)?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Message(format!("failed to {verb} one or more federation relationships")))
}
