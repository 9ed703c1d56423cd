//! Callers with limited rights, against a real server: what their rules cover, and what escapes nobody.

use std::path::Path;

use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::*;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::bundle::*;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::*;
use steeple_api::server::svid::svid_client::SvidClient;
use steeple_api::server::svid::*;
use steeple_api::server::trustdomain::trust_domain_client::TrustDomainClient;
use steeple_api::server::trustdomain::*;
use steeple_api::steeple::server::entries_client::EntriesClient;
use steeple_api::steeple::server::{WatchEntriesRequest, entry_change};
use steeple_api::types;
use steeple_ca::{SigningKey, csr, generate_pkcs8};
use steeple_core::{KeyType, SpiffeId};
use steeple_server_raft::authz::LIMITABLE;
use steeple_testkit::workload_entry;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::site::Site;

/// The role stands in line 2.
const POLICY: &str = r#"
role "payments" {
    spiffe_ids = ["spiffe://example.org/ci"]
    rule {
        methods = ["Entry/*", "Entries/*"]
        spiffe_ids = ["spiffe://example.org/payments/*"]
        parent_ids = ["spiffe://example.org/nodes/*", "spiffe://example.org/payments/*"]
        federates_with = ["partner.test"]
    }
    rule { methods = ["SVID/*", "Agent/CreateJoinToken"] spiffe_ids = ["spiffe://example.org/payments/*"] }
    rule {
        methods = ["Agent/CountAgents", "Agent/ListAgents", "Agent/GetAgent", "Agent/DeleteAgent", "Agent/BanAgent"]
        spiffe_ids = ["spiffe://example.org/spire/agent/x509pop/*"]
    }
    rule { methods = ["Bundle/*", "TrustDomain/*"] trust_domains = ["partner.test", "admins.test"] }
}
role "others" {
    spiffe_ids = ["spiffe://example.org/payments/release"]
    rule { methods = ["Entry/ListEntries"] }
}
"#;
const ADMINS: &str = "ratelimit { attestation = false } admin_ids = [\"spiffe://admins.test/root\"]";
const NO_RULE: &str = "no rule of policy.hcl:2 allows ";

fn id(path: &str) -> types::Spiffeid {
    types::Spiffeid { trust_domain: "example.org".to_owned(), path: path.to_owned() }
}

fn entry(name: &str, path: &str, parent: &str) -> types::Entry {
    let selector = types::Selector { r#type: "unix".to_owned(), value: format!("user:{name}") };
    workload_entry(name, &id(parent), path, vec![selector])
}

fn own(name: &str) -> types::Entry {
    entry(name, &format!("/payments/{name}"), "/nodes/a")
}

/// Code and text of each item.
type Answers = Vec<(Code, String)>;

fn answer(status: Option<types::Status>) -> (Code, String) {
    let status = status.expect("a status");
    (Code::from(status.code), status.message)
}

async fn create(channel: &Channel, entries: Vec<types::Entry>) -> Answers {
    let request = BatchCreateEntryRequest { entries, output_mask: None };
    let response = EntryClient::new(channel.clone()).batch_create_entry(request).await.expect("an answer");
    response.into_inner().results.into_iter().map(|result| answer(result.status)).collect()
}

async fn update(channel: &Channel, entries: Vec<types::Entry>, mask: types::EntryMask) -> Answers {
    let request = BatchUpdateEntryRequest { entries, input_mask: Some(mask), output_mask: None };
    let response = EntryClient::new(channel.clone()).batch_update_entry(request).await.expect("an answer");
    response.into_inner().results.into_iter().map(|result| answer(result.status)).collect()
}

async fn delete(channel: &Channel, ids: &[&str]) -> Answers {
    let request = BatchDeleteEntryRequest { ids: ids.iter().map(|&id| id.to_owned()).collect() };
    let response = EntryClient::new(channel.clone()).batch_delete_entry(request).await.expect("an answer");
    response.into_inner().results.into_iter().map(|result| answer(result.status)).collect()
}

async fn stored(site: &Site, entry_id: &str) -> Option<types::Entry> {
    let request = GetEntryRequest { id: entry_id.to_owned(), output_mask: None };
    site.admin.entries().get_entry(request).await.ok().map(tonic::Response::into_inner)
}

async fn by_admin(site: &Site, entries: Vec<types::Entry>) {
    for entry in entries {
        site.admin.create_entry(entry).await.expect("an entry");
    }
}

async fn set_bundle(site: &Site, trust_domain: &str) {
    let bundle = vec![types::Bundle { trust_domain: trust_domain.to_owned(), ..types::Bundle::default() }];
    let request = BatchSetFederatedBundleRequest { bundle, output_mask: None };
    site.admin.bundles().batch_set_federated_bundle(request).await.expect("set");
}

fn assert_denied((code, text): &(Code, String), why: &str) {
    assert_eq!(*code, Code::PermissionDenied, "{text}");
    assert!(text.contains(why), "{text}");
}

fn assert_is_denial(status: &Status, why: &str) {
    assert_denied(&(status.code(), status.message().to_owned()), why);
}

#[tokio::test]
async fn new_entries_are_judged_one_by_one() {
    let site = Site::with_policy(ADMINS, POLICY).await;
    let caller = site.as_workload("/ci").await;
    set_bundle(&site, "partner.test").await;
    set_bundle(&site, "other.test").await;
    let admin = types::Entry { admin: true, ..entry("root", "/payments/root", "/nodes/a") };
    by_admin(&site, vec![admin, entry("theirs", "/theirs", "/payments/gateway")]).await;

    let federated = |name: &str, with: &[&str]| types::Entry {
        federates_with: with.iter().map(|&name| name.to_owned()).collect(),
        ..own(name)
    };
    let for_id = "for spiffe://example.org/payments-admin below spiffe://example.org/nodes/a";
    let cases = [
        (own("a"), None),
        (entry("b", "/payments-admin", "/nodes/a"), Some(format!("{NO_RULE}Entry/BatchCreateEntry {for_id}"))),
        (entry("c", "/payments/c", "/spire/agent/x"), Some("below spiffe://example.org/spire/agent/x".to_owned())),
        (entry("d", "/payments/d", "/spire/server"), Some("below spiffe://example.org/spire/server".to_owned())),
        (types::Entry { admin: true, ..own("e") }, Some("an admin or downstream entry".to_owned())),
        (types::Entry { downstream: true, ..own("f") }, Some("an admin or downstream entry".to_owned())),
        (federated("g", &["partner.test"]), None),
        (federated("h", &["partner.test", "other.test"]), Some("to federate with partner.test, other.test".to_owned())),
        // Whoever got one of these IDs would have its rights.
        (entry("i", "/payments/root", "/nodes/a"), Some("/payments/root has rights of its own".to_owned())),
        (entry("j", "/payments/release", "/nodes/a"), Some("/payments/release has rights of its own".to_owned())),
        // Whoever holds this one gets the entry below it.
        (entry("k", "/payments/gateway", "/nodes/a"), Some("has entries of others below it".to_owned())),
        (own("z"), None),
    ];
    let (entries, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let names: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
    let answers = create(&caller, entries).await;
    assert_eq!(answers.len(), names.len());
    for ((name, expected), answer) in names.iter().zip(&expected).zip(&answers) {
        match expected {
            None => assert_eq!(answer.0, Code::Ok, "{name}: {}", answer.1),
            Some(why) => assert_denied(answer, why),
        }
        assert_eq!(stored(&site, name).await.is_some(), expected.is_none(), "{name}");
    }
    // Lifetimes are bounded for everybody.
    let endless = types::Entry { x509_svid_ttl: -1, ..own("y") };
    assert_eq!(create(&caller, vec![endless]).await[0].0, Code::InvalidArgument);
}

#[tokio::test]
async fn changes_are_judged_by_what_is_stored_and_by_what_would_be() {
    let site = Site::with_policy(ADMINS, POLICY).await;
    let caller = site.as_workload("/ci").await;
    let admin = types::Entry { admin: true, ..own("root") };
    by_admin(&site, vec![own("mine"), entry("theirs", "/theirs", "/nodes/a"), admin]).await;

    let hint = types::EntryMask { hint: true, ..types::EntryMask::default() };
    let moved = types::EntryMask { spiffe_id: true, ..types::EntryMask::default() };
    let hinted = |entry: types::Entry| types::Entry { hint: "h".to_owned(), ..entry };
    let answers = update(&caller, vec![hinted(own("mine")), hinted(own("theirs")), hinted(own("root"))], hint).await;
    assert_eq!(answers[0].0, Code::Ok, "{}", answers[0].1);
    assert_denied(&answers[1], "no rule of policy.hcl:2 allows Entry/BatchUpdateEntry of entry theirs");
    assert_denied(&answers[2], "an admin or downstream entry");
    assert_eq!(stored(&site, "mine").await.expect("stored").hint, "h");

    // Out of its scope, into it, and to more rights.
    let out = entry("mine", "/theirs", "/nodes/a");
    assert_denied(&update(&caller, vec![out], moved).await[0], "for spiffe://example.org/theirs below");
    assert_denied(&update(&caller, vec![own("theirs")], moved).await[0], "of entry theirs");
    let flags = types::EntryMask { admin: true, ..types::EntryMask::default() };
    let admin = types::Entry { admin: true, ..own("mine") };
    assert_denied(&update(&caller, vec![admin], flags).await[0], "an admin or downstream entry");
    let missing = update(&caller, vec![own("nobody")], moved).await;
    assert_eq!(missing[0].0, Code::NotFound);
    assert_eq!(stored(&site, "theirs").await.expect("stored").spiffe_id, Some(id("/theirs")));

    let answers = delete(&caller, &["theirs", "root", "nobody", "mine"]).await;
    assert_denied(&answers[0], "no rule of policy.hcl:2 allows Entry/BatchDeleteEntry of entry theirs");
    assert_denied(&answers[1], "an admin or downstream entry");
    assert_eq!((answers[2].0, answers[3].0), (Code::NotFound, Code::Ok));
    assert!(stored(&site, "mine").await.is_none() && stored(&site, "root").await.is_some());
}

#[tokio::test]
async fn a_change_that_slips_in_between_is_never_overwritten() {
    let site = Site::with_policy(ADMINS, POLICY).await;
    let caller = site.as_workload("/ci").await;
    by_admin(&site, vec![own("mine")]).await;
    let hint = types::EntryMask { hint: true, ..types::EntryMask::default() };
    let all = types::EntryMask { spiffe_id: true, ..hint };
    for _ in 0..30 {
        let back = types::Entry { hint: "mine".to_owned(), ..own("mine") };
        let taken = types::Entry { hint: "theirs".to_owned(), ..entry("mine", "/theirs", "/nodes/a") };
        let request =
            |entry| BatchUpdateEntryRequest { entries: vec![entry], input_mask: Some(all), output_mask: None };
        site.admin.entries().batch_update_entry(request(back.clone())).await.expect("moved in");
        let writes = futures::future::join_all((0..4).map(|_| update(&caller, vec![back.clone()], hint)));
        let mut admin = site.admin.entries();
        let (answers, taken) = tokio::join!(writes, admin.batch_update_entry(request(taken)));
        assert_eq!(answer(taken.expect("an answer").into_inner().results.remove(0).status).0, Code::Ok);
        for (code, text) in answers.into_iter().flatten() {
            assert!(matches!(code, Code::Ok | Code::Aborted | Code::PermissionDenied), "{code:?} {text}");
        }
        let now = stored(&site, "mine").await.expect("stored");
        assert_eq!((now.spiffe_id, now.hint.as_str()), (Some(id("/theirs")), "theirs"));
    }
}

#[tokio::test]
async fn lists_counts_and_watches_know_nothing_else() {
    let site = Site::with_policy(ADMINS, POLICY).await;
    let caller = site.as_workload("/ci").await;
    let mut watch = EntriesClient::new(caller.clone());
    let mut watch = watch.watch(WatchEntriesRequest::default()).await.expect("a stream").into_inner();
    watch.message().await.expect("open").expect("the first message");
    for number in 0..5 {
        let other = entry(&format!("other-{number}"), &format!("/theirs/{number}"), "/nodes/a");
        by_admin(&site, vec![other, own(&format!("own-{number}"))]).await;
    }
    let mut client = EntryClient::new(caller.clone());
    let (mut sizes, mut seen, mut page_token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let request = ListEntriesRequest { page_size: 2, page_token, ..ListEntriesRequest::default() };
        let page = client.list_entries(request).await.expect("a page").into_inner();
        sizes.push(page.entries.len());
        seen.extend(page.entries.into_iter().map(|entry| entry.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((&sizes[..], seen.len()), (&[2, 2, 1, 0][..], 5), "pages are full until the last one");
    assert!(seen.iter().all(|id| id.starts_with("own-")), "{seen:?}");
    assert_eq!(client.count_entries(CountEntriesRequest::default()).await.expect("a count").into_inner().count, 5);
    let other = GetEntryRequest { id: "other-0".to_owned(), output_mask: None };
    assert_eq!(client.get_entry(other).await.expect_err("not there for it").code(), Code::NotFound);
    let mut watched = Vec::new();
    while watched.len() < 5 {
        let changes = watch.message().await.expect("open").expect("a message").changes;
        watched.extend(changes.into_iter().filter_map(|change| change.change));
    }
    let own = |change: &entry_change::Change| match change {
        entry_change::Change::Set(entry) => entry.id.starts_with("own-"),
        entry_change::Change::GoneId(_) => false,
    };
    assert!(watched.iter().all(own), "{watched:?}");
}

/// One call for each method that can be limited, beyond the limits: a handler that forgot to ask would let it pass.
#[tokio::test]
async fn no_method_that_can_be_limited_forgets_its_limits() {
    let site = Site::with_policy(ADMINS, POLICY).await;
    let caller = site.as_workload("/ci").await;
    let agent = site.by_join_token().await.svid.id;
    let agent_id = Some(types::Spiffeid { trust_domain: "example.org".to_owned(), path: agent.path().to_owned() });
    by_admin(&site, vec![entry("theirs", "/theirs", "/nodes/a")]).await;
    set_bundle(&site, "other.test").await;
    set_bundle(&site, "admins.test").await;
    let relationship = |trust_domain: &str| types::FederationRelationship {
        trust_domain: trust_domain.to_owned(),
        bundle_endpoint_url: "https://other.test/".to_owned(),
        bundle_endpoint_profile: Some(types::federation_relationship::BundleEndpointProfile::HttpsWeb(
            types::HttpsWebProfile {},
        )),
        ..types::FederationRelationship::default()
    };
    let request = BatchCreateFederationRelationshipRequest {
        federation_relationships: vec![relationship("other.test")],
        output_mask: None,
    };
    site.admin.trust_domains().batch_create_federation_relationship(request).await.expect("created");

    let (mut agents, mut svids) = (AgentClient::new(caller.clone()), SvidClient::new(caller.clone()));
    let (mut bundles, mut domains) = (BundleClient::new(caller.clone()), TrustDomainClient::new(caller.clone()));
    let bundle = |name: &str| types::Bundle { trust_domain: name.to_owned(), ..types::Bundle::default() };
    for (method, _) in LIMITABLE {
        let (_, short) = method.rsplit_once('.').expect("a package");
        match short {
            "Agent/CountAgents" => {
                let counted = agents.count_agents(CountAgentsRequest::default()).await.expect("a count");
                assert_eq!(counted.into_inner().count, 0);
            }
            "Agent/ListAgents" => {
                let listed = agents.list_agents(ListAgentsRequest::default()).await.expect("a list");
                assert_eq!(listed.into_inner().agents.len(), 0);
            }
            "Agent/GetAgent" => {
                let request = GetAgentRequest { id: agent_id.clone(), output_mask: None };
                assert_is_denial(&agents.get_agent(request).await.expect_err(short), agent.as_str());
            }
            "Agent/DeleteAgent" => {
                let request = DeleteAgentRequest { id: agent_id.clone() };
                assert_is_denial(&agents.delete_agent(request).await.expect_err(short), agent.as_str());
            }
            "Agent/BanAgent" => {
                let request = BanAgentRequest { id: agent_id.clone() };
                assert_is_denial(&agents.ban_agent(request).await.expect_err(short), agent.as_str());
            }
            "Agent/CreateJoinToken" => {
                let alias = |path: &str| Some(id(path));
                for (token, agent_id, why) in [
                    ("", None, "/spire/agent/join_token/"),
                    ("chosen", alias("/payments/node"), "/spire/agent/join_token/chosen"),
                    ("", alias("/theirs"), "/theirs"),
                    ("", alias("/payments/release"), "has rights of its own"),
                ] {
                    let request = CreateJoinTokenRequest { ttl: 60, token: token.to_owned(), agent_id };
                    assert_is_denial(&agents.create_join_token(request).await.expect_err(short), why);
                }
                let request =
                    CreateJoinTokenRequest { ttl: 60, token: String::new(), agent_id: alias("/payments/node") };
                agents.create_join_token(request).await.expect("within its limits");
            }
            "SVID/MintX509SVID" => {
                for (path, why) in [("/theirs", "/theirs"), ("/payments/release", "rights of its own")] {
                    let request = MintX509svidRequest { csr: csr_for(path), ttl: 60 };
                    let minted = svids.mint_x509svid(request).await;
                    assert_is_denial(&minted.expect_err(short), why);
                }
                let request = MintX509svidRequest { csr: csr_for("/payments/a"), ttl: 60 };
                svids.mint_x509svid(request).await.expect("within its limits");
            }
            "SVID/MintJWTSVID" => {
                let request =
                    |path: &str| MintJwtsvidRequest { id: Some(id(path)), audience: vec!["a".to_owned()], ttl: 60 };
                assert_is_denial(&svids.mint_jwtsvid(request("/theirs")).await.expect_err(short), "/theirs");
                svids.mint_jwtsvid(request("/payments/a")).await.expect("within its limits");
            }
            "Bundle/CountBundles" => {
                let counted = bundles.count_bundles(CountBundlesRequest {}).await.expect("a count");
                assert_eq!(counted.into_inner().count, 1, "that of admins.test, which it may see");
            }
            "Bundle/ListFederatedBundles" => {
                let listed = bundles.list_federated_bundles(ListFederatedBundlesRequest::default()).await;
                let names: Vec<_> = listed.expect("a list").into_inner().bundles;
                assert_eq!(
                    names.iter().map(|bundle| bundle.trust_domain.as_str()).collect::<Vec<_>>(),
                    ["admins.test"]
                );
            }
            "Bundle/GetFederatedBundle" => {
                let request = GetFederatedBundleRequest { trust_domain: "other.test".to_owned(), output_mask: None };
                assert_eq!(bundles.get_federated_bundle(request).await.expect_err(short).code(), Code::NotFound);
            }
            "Bundle/BatchCreateFederatedBundle" => {
                let bundle = vec![bundle("other.test"), bundle("admins.test"), bundle("partner.test")];
                let request = BatchCreateFederatedBundleRequest { bundle, output_mask: None };
                let results = bundles.batch_create_federated_bundle(request).await.expect("an answer").into_inner();
                assert_domains(results.results.into_iter().map(|result| answer(result.status)).collect());
            }
            "Bundle/BatchUpdateFederatedBundle" => {
                let bundle = vec![bundle("other.test"), bundle("admins.test")];
                let request = BatchUpdateFederatedBundleRequest { bundle, input_mask: None, output_mask: None };
                let results = bundles.batch_update_federated_bundle(request).await.expect("an answer").into_inner();
                assert_domains(results.results.into_iter().map(|result| answer(result.status)).collect());
            }
            "Bundle/BatchSetFederatedBundle" => {
                let bundle = vec![bundle("other.test"), bundle("admins.test")];
                let request = BatchSetFederatedBundleRequest { bundle, output_mask: None };
                let results = bundles.batch_set_federated_bundle(request).await.expect("an answer").into_inner();
                assert_domains(results.results.into_iter().map(|result| answer(result.status)).collect());
            }
            "Bundle/BatchDeleteFederatedBundle" => {
                let request = |mode: batch_delete_federated_bundle_request::Mode| BatchDeleteFederatedBundleRequest {
                    trust_domains: vec!["other.test".to_owned(), "admins.test".to_owned()],
                    mode: mode.into(),
                };
                let restrict = request(batch_delete_federated_bundle_request::Mode::Restrict);
                let results = bundles.batch_delete_federated_bundle(restrict).await.expect("an answer").into_inner();
                assert_domains(results.results.into_iter().map(|result| answer(result.status)).collect());
                let along = request(batch_delete_federated_bundle_request::Mode::Delete);
                let refused = bundles.batch_delete_federated_bundle(along).await.expect_err(short);
                assert_is_denial(&refused, "a mode that changes entries");
            }
            "TrustDomain/ListFederationRelationships" => {
                let request = ListFederationRelationshipsRequest::default();
                let listed = domains.list_federation_relationships(request).await.expect("a list").into_inner();
                assert_eq!(listed.federation_relationships.len(), 0);
            }
            "TrustDomain/GetFederationRelationship" => {
                let trust_domain = "other.test".to_owned();
                let request = GetFederationRelationshipRequest { trust_domain, output_mask: None };
                assert_eq!(domains.get_federation_relationship(request).await.expect_err(short).code(), Code::NotFound);
            }
            "TrustDomain/BatchCreateFederationRelationship" => {
                let federation_relationships = vec![relationship("other.test"), relationship("admins.test")];
                let request = BatchCreateFederationRelationshipRequest { federation_relationships, output_mask: None };
                let results = domains.batch_create_federation_relationship(request).await.expect("an answer");
                let results = results.into_inner().results;
                assert_domains(results.into_iter().map(|result| answer(result.status)).collect());
            }
            "TrustDomain/BatchUpdateFederationRelationship" => {
                let federation_relationships = vec![relationship("other.test"), relationship("admins.test")];
                let request = BatchUpdateFederationRelationshipRequest {
                    federation_relationships,
                    input_mask: None,
                    output_mask: None,
                };
                let results = domains.batch_update_federation_relationship(request).await.expect("an answer");
                let results = results.into_inner().results;
                assert_domains(results.into_iter().map(|result| answer(result.status)).collect());
            }
            "TrustDomain/BatchDeleteFederationRelationship" => {
                let trust_domains = vec!["other.test".to_owned(), "admins.test".to_owned()];
                let request = BatchDeleteFederationRelationshipRequest { trust_domains };
                let results = domains.batch_delete_federation_relationship(request).await.expect("an answer");
                let results = results.into_inner().results;
                assert_domains(results.into_iter().map(|result| answer(result.status)).collect());
            }
            "TrustDomain/RefreshBundle" => {
                let request = RefreshBundleRequest { trust_domain: "other.test".to_owned() };
                assert_is_denial(&domains.refresh_bundle(request).await.expect_err(short), "for other.test");
            }
            // They have tests of their own above.
            "Entry/CountEntries"
            | "Entry/ListEntries"
            | "Entry/GetEntry"
            | "Entry/BatchCreateEntry"
            | "Entry/BatchUpdateEntry"
            | "Entry/BatchDeleteEntry"
            | "Entries/Watch" => {}
            other => panic!("nobody calls {other} beyond its limits"),
        }
    }
    assert!(site.admin.federated_bundle("other.test").await.is_ok() && stored(&site, "theirs").await.is_some());
}

/// One of another trust domain, one of a domain that has administrators; others are within the limits.
fn assert_domains(answers: Answers) {
    assert_denied(&answers[0], "for other.test");
    assert_denied(&answers[1], "administrators come from admins.test");
    for (code, text) in &answers[2..] {
        assert_eq!(*code, Code::Ok, "{text}");
    }
}

fn csr_for(path: &str) -> Vec<u8> {
    let key = SigningKey::from_pkcs8(&generate_pkcs8(KeyType::EcP256).expect("a key")).expect("a key");
    let id = SpiffeId::parse(&format!("spiffe://example.org{path}")).expect("an ID");
    csr::request(&key, &id, &[]).expect("a CSR")
}

#[tokio::test]
async fn a_uid_on_the_admin_socket_has_what_its_role_says_and_no_more() {
    let uid = nix::unistd::geteuid().as_raw();
    let policy = format!(
        "role \"operator\" {{\n uids = [{uid}]\n rule {{ methods = [\"Debug/GetInfo\", \"Cluster/Status\"] }}\n \
         rule {{ methods = [\"Entry/*\"] spiffe_ids = [\"spiffe://example.org/payments/*\"] }}\n}}\n"
    );
    let site = Site::with_policy(ADMINS, &policy).await;
    assert!(site.admin.status().await.is_ok());
    by_admin(&site, vec![own("a")]).await;
    let request = BatchCreateEntryRequest { entries: vec![entry("b", "/theirs", "/nodes/a")], output_mask: None };
    let results = site.admin.entries().batch_create_entry(request).await.expect("an answer").into_inner().results;
    assert_denied(&answer(results[0].status.clone()), "no rule of policy.hcl:1 allows Entry/BatchCreateEntry for ");
    let refused = site.admin.create_join_token(std::time::Duration::from_secs(60)).await.expect_err("no rule");
    let method = "/spire.api.server.agent.v1.Agent/CreateJoinToken";
    let expected = format!("authorization denied for method {method}; no rule of policy.hcl:1 allows it");
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, expected.as_str()));
    // What is everybody's stays so.
    assert!(site.admin.bundle().await.is_ok());
    let log = std::fs::read_to_string(Path::new(&site.scratch.join("log"))).expect("a log");
    let records = crate::on_record::records(&log, "BatchCreateEntry");
    assert!(records.iter().all(|record| record["authorized_as"] == "limited"), "{records:?}");
}
