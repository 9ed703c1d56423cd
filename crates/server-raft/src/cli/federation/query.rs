//! `federation list`, `federation show` and `federation refresh`.

use std::io::Write;

use steeple_api::server::trustdomain::trust_domain_client::TrustDomainClient;
use steeple_api::server::trustdomain::{
    GetFederationRelationshipRequest, ListFederationRelationshipsRequest, ListFederationRelationshipsResponse,
    RefreshBundleRequest,
};
use steeple_cli::{Call, Context, Failure};
use tonic::{Code, transport::Channel};

use super::print::print_relationship;
use crate::cli::reply::plural;

pub(super) async fn list(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let mut client = TrustDomainClient::new(channel);
    let mut all = ListFederationRelationshipsResponse::default();
    let mut page_token = String::new();
    loop {
        let request =
            ListFederationRelationshipsRequest { output_mask: None, page_size: PAGE_RELATIONSHIPS, page_token };
        let page = client.list_federation_relationships(request).await;
        let page = page.context("error listing federation relationship")?.into_inner();
        all.federation_relationships.extend(page.federation_relationships);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    call.print(&all, |streams, all| {
        let out = &mut streams.stdout;
        let count = all.federation_relationships.len();
        writeln!(out, "Found {count} {}", plural(count, "federation relationship", "federation relationships"))?;
        for relationship in &all.federation_relationships {
            writeln!(out)?;
            print_relationship(out, relationship)?;
        }
        Ok(())
    })
}

pub(super) async fn show(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let trust_domain = call.values.text_if_any("trustDomain");
    let trust_domain = trust_domain.ok_or_else(|| Failure::message("a trust domain name is required"))?.to_owned();
    let request = GetFederationRelationshipRequest { trust_domain: trust_domain.clone(), output_mask: None };
    let relationship = TrustDomainClient::new(channel).get_federation_relationship(request).await;
    let relationship = relationship.context("error showing federation relationship")?.into_inner();
    call.print(&relationship, |streams, relationship| {
        let out = &mut streams.stdout;
        writeln!(out, "Found a federation relationship with trust domain {trust_domain}:\n")?;
        Ok(print_relationship(out, relationship)?)
    })
}

pub(super) async fn refresh(call: &mut Call, channel: Channel) -> Result<(), Failure> {
    let id = call.values.text_if_any("id").ok_or_else(|| Failure::message("id is required"))?.to_owned();
    let request = RefreshBundleRequest { trust_domain: id.clone() };
    match TrustDomainClient::new(channel).refresh_bundle(request).await {
        Ok(_) => {
            let line = if call.is_json() { "{}" } else { "Bundle refreshed" };
            Ok(writeln!(call.streams.stdout, "{line}")?)
        }
        Err(status) if status.code() == Code::NotFound => {
            Err(Failure::Message(format!("there is no federation relationship with trust domain {id:?}")))
        }
        Err(status) => Err(status).context("failed to refresh bundle"),
    }
}

/// A relationship may carry a bundle, so a page of them is kept as small as a page of bundles.
const PAGE_RELATIONSHIPS: i32 = 50;
