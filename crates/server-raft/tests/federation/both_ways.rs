//! Two trust domains whose workloads accept each other, also after a new root: two servers of ours, and one of stock
//! SPIRE's (`STOCK_SPIRE_SERVER`; without it these tests are not run).

use std::path::PathBuf;

use steeple_api::server::localauthority::PrepareX509AuthorityRequest;
use steeple_api::server::trustdomain::BatchCreateFederationRelationshipRequest;
use steeple_api::types;
use steeple_api::types::federation_relationship::BundleEndpointProfile;
use steeple_testkit::{Binaries, ExtraLines, Scratch, Server, until};

use crate::domain::{Endpoint, PATIENCE, Workload, federation, server, set_bundle, spec, until_fetched};

const STOCK_SERVER: &str = "STOCK_SPIRE_SERVER";
const HTTPS_SPIFFE: &str = "profile \"https_spiffe\" {}";

fn with_stock_server() -> Option<Binaries> {
    let Some(server) = std::env::var_os(STOCK_SERVER).map(PathBuf::from) else {
        eprintln!("not run: {STOCK_SERVER} is not set");
        return None;
    };
    Some(Binaries { server, ..Binaries::find().expect("our agent") })
}

#[tokio::test]
async fn two_of_our_servers_federate() {
    let ours = Binaries::find().expect("our programs");
    federate(&ours, &ours).await;
}

#[tokio::test]
async fn a_stock_server_that_is_configured_federates_with_ours() {
    let Some(stock) = with_stock_server() else { return };
    federate(&stock, &Binaries::find().expect("our programs")).await;
}

#[tokio::test]
async fn our_server_that_is_configured_federates_with_a_stock_one() {
    let Some(stock) = with_stock_server() else { return };
    federate(&Binaries::find().expect("our programs"), &stock).await;
}

/// The first learns of the second from its configuration, the second of the first through the API.
async fn federate(first: &Binaries, second: &Binaries) {
    let scratch = Scratch::new().expect("a directory");
    let (a, b) = (Endpoint::reserve("a.test"), Endpoint::reserve("b.test"));
    let configured = [a.served(HTTPS_SPIFFE), b.followed_by_spiffe()];
    let extra = |blocks: &[String]| ExtraLines { server: federation(blocks), ..ExtraLines::default() };
    let mut server_a = server(first, &scratch, &spec("a", a.trust_domain), &extra(&configured)).await;
    let mut server_b = server(second, &scratch, &spec("b", b.trust_domain), &extra(&[b.served(HTTPS_SPIFFE)])).await;

    // Without a first bundle nobody can be authenticated.
    let refused = server_a.admin().refresh_bundle(b.trust_domain).await.expect_err("there is no bundle");
    let text = "failed to refresh bundle: can't perform SPIFFE Authentication: local copy of bundle not found";
    assert_eq!(refused.message(), text);

    set_bundle(&server_a, server_b.admin().bundle().await.expect("a bundle")).await;
    // The configuration wins over the API.
    let elsewhere = relationship(&b, "https://127.0.0.1:1/".to_owned(), None);
    create(&server_a, elsewhere).await;
    // A stock server would look again after a minute.
    until("a's refresh", PATIENCE, async || server_a.admin().refresh_bundle(b.trust_domain).await).await.expect("done");
    let bundle = server_a.admin().bundle().await.expect("a bundle");
    create(&server_b, relationship(&a, a.url(), Some(bundle))).await;
    let fetched = until_fetched(&server_a, b.trust_domain).await;
    assert_eq!((fetched.sequence_number, fetched.jwt_authorities.len()), (0, 1), "as a stock server stores it");
    until_fetched(&server_b, a.trust_domain).await;

    let agents = Binaries::find().expect("our programs");
    let mut in_a = Workload::start(&agents, &scratch, &server_a, a.trust_domain, b.trust_domain).await;
    let mut in_b = Workload::start(&agents, &scratch, &server_b, b.trust_domain, a.trust_domain).await;
    assert!(in_a.accepts(&in_b, b.trust_domain).await);
    assert!(in_b.accepts(&in_a, a.trust_domain).await);
    for (from, to) in [(&in_a, &in_b), (&in_b, &in_a)] {
        let token = from.token("greeting").await;
        assert_eq!(to.validated(&token, "greeting").await.expect("a good token"), from.id);
        assert!(to.validated(&token, "farewell").await.is_err());
    }

    // A new root on each side arrives by polling, in the other's workload.
    for server in [&server_a, &server_b] {
        let request = PrepareX509AuthorityRequest {};
        server.admin().local_authorities().prepare_x509_authority(request).await.expect("a prepared authority");
    }
    let (roots_of_b, roots_of_a) =
        tokio::join!(in_a.until_roots_of(b.trust_domain, 2), in_b.until_roots_of(a.trust_domain, 2));
    assert_ne!(roots_of_a, roots_of_b);

    in_a.stop().await;
    in_b.stop().await;
    server_a.stop().await.expect("an orderly end");
    server_b.stop().await.expect("an orderly end");
}

fn relationship(with: &Endpoint, url: String, bundle: Option<types::Bundle>) -> types::FederationRelationship {
    let profile = types::HttpsspiffeProfile { endpoint_spiffe_id: with.server_id() };
    types::FederationRelationship {
        trust_domain: with.trust_domain.to_owned(),
        bundle_endpoint_url: url,
        bundle_endpoint_profile: Some(BundleEndpointProfile::HttpsSpiffe(profile)),
        trust_domain_bundle: bundle,
    }
}

async fn create(server: &Server, relationship: types::FederationRelationship) {
    let request =
        BatchCreateFederationRelationshipRequest { federation_relationships: vec![relationship], output_mask: None };
    let response = server.admin().trust_domains().batch_create_federation_relationship(request).await;
    let results = response.expect("an answer").into_inner().results;
    assert_eq!(results[0].status.as_ref().map(|status| status.code), Some(0));
}
