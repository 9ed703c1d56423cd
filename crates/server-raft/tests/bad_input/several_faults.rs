//! Items in which more than one thing is wrong: the first in SPIRE's order is told, over the wire too.

use steeple_api::server::agent::{ListAgentsRequest, list_agents_request};
use steeple_api::server::bundle::BatchUpdateFederatedBundleRequest;
use steeple_api::server::entry::{BatchCreateEntryRequest, BatchUpdateEntryRequest};
use steeple_api::server::trustdomain::BatchDeleteFederationRelationshipRequest;
use steeple_api::types;

use crate::bench::{Bench, assert_unharmed, create, entry, spec};

#[tokio::test]
async fn the_first_fault_of_an_entry_is_told_and_nothing_is_stored() {
    let bench = Bench::new();
    let mut server = bench.launch(&spec("server"));
    server.ready().await.expect("the server becomes ready");
    create(&server, "kept").await;
    let foreign = Some(types::Spiffeid { trust_domain: "other.test".to_owned(), path: "/p".to_owned() });
    let no_kind = types::Selector { r#type: String::new(), value: "v".to_owned() };
    let twice = |id: &str| {
        let entry = entry(id);
        types::Entry { selectors: [entry.selectors.clone(), entry.selectors.clone()].concat(), ..entry }
    };

    let cases = [
        (
            types::Entry { parent_id: foreign, spiffe_id: None, ..entry("e1") },
            "failed to convert entry: invalid parent ID: \"spiffe://other.test/p\" is not a member of trust domain \
             \"example.org\"",
        ),
        (
            types::Entry { dns_names: vec!["a..b".to_owned()], federates_with: vec!["A".to_owned()], ..entry("e1") },
            "failed to convert entry: invalid DNS name: idna error\nidna: invalid label \"a..b\"",
        ),
        (
            types::Entry { selectors: vec![no_kind], hint: "x".repeat(1025), ..entry("e1") },
            "failed to convert entry: missing selector type",
        ),
        (
            types::Entry { hint: "x".repeat(1025), ..twice("e1") },
            "failed to convert entry: hint is too long, max length is 1024 characters",
        ),
        (twice("kept"), "similar entry already exists"),
        (
            types::Entry { spiffe_id: entry("new").spiffe_id, ..twice("kept") },
            "failed to create entry: datastore-sql: UNIQUE constraint failed: registered_entries.entry_id",
        ),
        (
            types::Entry { federates_with: ["unknown.test", "also.test"].map(str::to_owned).to_vec(), ..twice("e1") },
            "failed to create entry: unable to find federated bundle \"spiffe://unknown.test\"",
        ),
        (
            twice("e1"),
            "failed to create entry: datastore-sql: UNIQUE constraint failed: selectors.registered_entry_id, \
             selectors.type, selectors.value",
        ),
    ];
    let (items, texts): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let request = BatchCreateEntryRequest { entries: items, output_mask: None };
    let response = server.admin().entries().batch_create_entry(request).await.expect("an answer").into_inner();
    let told: Vec<String> = response.results.into_iter().map(|item| item.status.unwrap_or_default().message).collect();
    assert_eq!(told, texts);

    let request =
        BatchUpdateEntryRequest { entries: vec![twice("none"), twice("kept")], input_mask: None, output_mask: None };
    let response = server.admin().entries().batch_update_entry(request).await.expect("an answer").into_inner();
    let told: Vec<String> = response.results.into_iter().map(|item| item.status.unwrap_or_default().message).collect();
    assert_eq!(told[0], "failed to update entry");
    assert!(told[1].starts_with("failed to update entry: datastore-sql: UNIQUE constraint failed: selectors."));

    let names = ["spiffe://none.test/x", "None", ""].map(str::to_owned).to_vec();
    let request = BatchDeleteFederationRelationshipRequest { trust_domains: names };
    let mut client = server.admin().trust_domains();
    let response = client.batch_delete_federation_relationship(request).await.expect("an answer").into_inner();
    let named: Vec<&str> = response.results.iter().map(|item| item.trust_domain.as_str()).collect();
    assert_eq!(named, ["none.test", "None", ""]);
    assert_unharmed(&server, &["kept"]).await;
}

#[tokio::test]
async fn a_page_token_is_judged_before_the_kind_of_match() {
    let bench = Bench::new();
    let mut server = bench.launch(&spec("server"));
    server.ready().await.expect("the server becomes ready");
    let selectors = types::SelectorMatch {
        selectors: vec![types::Selector { r#type: "unix".to_owned(), value: "uid:0".to_owned() }],
        r#match: 7,
    };
    let filter = list_agents_request::Filter { by_selector_match: Some(selectors), ..Default::default() };
    let mut agents = server.admin().agents();
    for (page_token, text) in [
        ("?", "failed to list agents: could not parse token '?'"),
        ("", "failed to list agents: datastore-sql: unhandled match behavior '\\a'"),
    ] {
        let request = ListAgentsRequest {
            filter: Some(filter.clone()),
            page_size: 1,
            page_token: page_token.to_owned(),
            output_mask: None,
        };
        let refused = agents.list_agents(request).await.expect_err("two faults, or one");
        assert_eq!(refused.message(), text);
    }
}

/// Also what the mask leaves out.
#[tokio::test]
async fn the_whole_bundle_of_an_update_is_read() {
    let bench = Bench::new();
    let mut server = bench.launch(&spec("server"));
    server.ready().await.expect("the server becomes ready");
    let nonsense = types::X509Certificate { asn1: b"nonsense".to_vec(), tainted: false };
    let bundle = types::Bundle {
        trust_domain: "other.test".to_owned(),
        x509_authorities: vec![nonsense],
        ..types::Bundle::default()
    };
    let mask = types::BundleMask { refresh_hint: true, ..types::BundleMask::default() };
    let request = BatchUpdateFederatedBundleRequest { bundle: vec![bundle], input_mask: Some(mask), output_mask: None };
    let response = server.admin().bundles().batch_update_federated_bundle(request).await.expect("an answer");
    let told = response.into_inner().results.remove(0).status.unwrap_or_default().message;
    assert_eq!(told, "failed to convert bundle: unable to parse X.509 authority: x509: malformed certificate");
}
