//! The audit log.

use serde_json::Value as Json;
use steeple_api::convert::id_to_wire;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{BatchCreateEntryRequest, GetEntryRequest, ListEntriesRequest};
use steeple_api::types;
use steeple_testkit::{until, workload_entry};

use crate::site::{READY_MAX, Site};

/// The records of `method`, whose order is that of the calls.
pub fn records(log: &str, method: &str) -> Vec<Json> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    lines.filter(|record| record["type"] == "audit" && record["method"] == method).collect()
}

#[tokio::test]
async fn each_call_and_each_item_of_a_batch_is_on_record() {
    let site = Site::start().await;
    let node = site.by_join_token().await;
    node.call().await.expect("an attested agent is let in");
    let id = id_to_wire(&node.svid.id);
    let selector = || vec![types::Selector { r#type: "unix".to_owned(), value: "uid:1".to_owned() }];
    let entries = vec![workload_entry("one", &id, "/w", selector()), workload_entry("two", &id, "/w", selector())];
    let request = BatchCreateEntryRequest { entries, output_mask: None };
    site.admin.entries().batch_create_entry(request).await.expect("an answer");
    let list = EntryClient::new(node.channel.clone()).list_entries(ListEntriesRequest::default()).await;
    list.expect_err("not for agents");

    // A call is on record when its answer has passed, which may be a moment after the client has it.
    let log = || std::fs::read_to_string(site.scratch.join("log")).expect("a log");
    let denied = async || records(&log(), "ListEntries").pop().ok_or("no record of the last call");
    let denied = until("the last record", READY_MAX, denied).await.expect("a record");
    let log = log();

    let [attest] = records(&log, "AttestAgent").try_into().expect("one attestation");
    let known = ["service", "status", "authorized_as", "node_attestor_type", "agent_id"].map(|name| &attest[name]);
    assert_eq!(known, ["agent.v1.Agent", "success", "nobody", "join_token", node.svid.id.as_str()]);
    assert!(attest["caller_addr"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{attest}");
    assert_eq!(attest["msg"], "API accessed");

    let [status] = records(&log, "PostStatus").try_into().expect("one call");
    let known = ["caller_id", "spiffe_id", "authorized_as", "authorized_via"].map(|name| &status[name]);
    assert_eq!(known, [node.svid.id.as_str(), node.svid.id.as_str(), "agent", "datastore"]);

    let [created, similar] = records(&log, "BatchCreateEntry").try_into().expect("two items");
    let known = ["entry_id", "status", "spiffe_id", "selectors", "authorized_as", "authorized_via"];
    let expected = ["one", "success", "spiffe://example.org/w", "unix:uid:1", "local", "transport"];
    assert_eq!(known.map(|name| &created[name]), expected);
    assert_eq!(created["request_id"], similar["request_id"]);
    assert_eq!(["status", "status_code"].map(|name| &similar[name]), ["error", "AlreadyExists"]);
    assert_eq!(created["caller_uid"], nix::unistd::geteuid().as_raw());
    let own = std::env::current_exe().expect("a path");
    assert_eq!(created["caller_path"], own.display().to_string());

    assert_eq!(["status", "status_code"].map(|name| &denied[name]), ["error", "PermissionDenied"]);
    assert_eq!(denied["authorized_as"], Json::Null);
    let token = node.svid.id.path().rsplit('/').next().expect("a token");
    assert!(records(&log, "CreateJoinToken").iter().all(|record| !record.to_string().contains(token)));
}

#[tokio::test]
async fn refusals_are_in_the_log_with_the_fields_of_their_call() {
    let site = Site::start().await;
    let node = site.by_join_token().await;
    let missing = GetEntryRequest { id: "none".to_owned(), output_mask: None };
    site.admin.entries().get_entry(missing).await.expect_err("no such entry");
    let request = BatchCreateEntryRequest { entries: vec![types::Entry::default()], output_mask: None };
    site.admin.entries().batch_create_entry(request).await.expect("an answer");
    let list = EntryClient::new(node.channel.clone()).list_entries(ListEntriesRequest::default()).await;
    list.expect_err("not for agents");

    let log = std::fs::read_to_string(site.scratch.join("log")).expect("a log");
    let line = |message: &str| {
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        lines.rfind(|line| line["msg"] == message).unwrap_or_else(|| panic!("no line {message:?}"))
    };
    let found = line("Entry not found");
    let known = ["level", "service", "method", "subsystem_name", "authorized_as"].map(|name| &found[name]);
    assert_eq!(known, ["error", "entry.v1.Entry", "GetEntry", "api", "local"]);
    assert!(found["request_id"].is_string() && found["caller_addr"].is_null(), "{found}");
    let item = line("Invalid argument: failed to convert entry");
    let why = "invalid parent ID: request must specify SPIFFE ID";
    assert_eq!(["method", "error"].map(|name| &item[name]), ["BatchCreateEntry", why]);
    let denied = line("Failed to authenticate caller");
    assert_eq!((&denied["method"], &denied["caller_id"]), (&"ListEntries".into(), &node.svid.id.as_str().into()));
    assert!(denied["error"].as_str().is_some_and(|error| error.starts_with("rpc error: code = PermissionDenied")));
}

#[tokio::test]
async fn calls_of_both_listeners_are_chained_in_a_file() {
    let scratch = steeple_testkit::Scratch::new().expect("a directory");
    let file = scratch.join("audit.log");
    let block = format!("audit {{ file = \"{}\" fail_closed = true }}", file.display());
    let site = Site::configured(scratch, &format!("ratelimit {{ attestation = false }} {block}"), "").await;
    let node = site.by_join_token().await;
    node.call().await.expect("an attested agent is let in");
    let id = id_to_wire(&node.svid.id);
    let selector = || vec![types::Selector { r#type: "unix".to_owned(), value: "uid:1".to_owned() }];
    let entries = vec![workload_entry("one", &id, "/w", selector()), workload_entry("two", &id, "/w", selector())];
    let request = BatchCreateEntryRequest { entries, output_mask: None };
    site.admin.entries().batch_create_entry(request).await.expect("an answer");
    let list = EntryClient::new(node.channel.clone()).list_entries(ListEntriesRequest::default()).await;
    list.expect_err("not for agents");

    // Nothing is answered before it is on record.
    let log = std::fs::read_to_string(&file).expect("an audit file");
    let of =
        |method: &str| records(&log, method).into_iter().partition::<Vec<_>, _>(|record| record["stage"] == "intent");
    let (intents, outcomes) = of("BatchCreateEntry");
    let [intent] = intents.try_into().expect("one intent");
    let [created, similar] = outcomes.try_into().expect("two items");
    assert_eq!((&intent["items"], &intent["caller_uid"]), (&2.into(), &created["caller_uid"]));
    assert_eq!(intent["request_id"], created["request_id"]);
    assert_eq!(["entry_id", "status", "authorized_as"].map(|name| &created[name]), ["one", "success", "local"]);
    assert_eq!(similar["status_code"], "AlreadyExists");
    let sequence = |record: &Json| record["chain"]["sequence"].as_u64().expect("a number");
    assert_eq!(sequence(&similar), sequence(&created) + 1);
    assert!(
        sequence(&intent) < sequence(&created)
            && created["chain"]["index"].as_u64() > intent["chain"]["index"].as_u64()
    );

    let (intents, outcomes) = of("AttestAgent");
    assert_eq!((intents.len(), outcomes.len()), (1, 1));
    assert_eq!(outcomes[0]["agent_id"], node.svid.id.as_str());
    let (intents, outcomes) = of("PostStatus");
    assert_eq!((intents.len(), &outcomes[0]["caller_id"]), (1, &node.svid.id.as_str().into()));
    // Who is turned away is not read, and has no intent.
    let (intents, outcomes) = of("ListEntries");
    assert_eq!((intents.len(), &outcomes[0]["status_code"]), (0, &"PermissionDenied".into()));
    let token = node.svid.id.path().rsplit('/').next().expect("a token");
    assert!(records(&log, "CreateJoinToken").iter().all(|record| !record.to_string().contains(token)));

    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_steeple-server"));
    command.args(["audit", "verify", "-socketPath"]).arg(site.scratch.join("api.sock"));
    let said = command.kill_on_drop(true).output().await.expect("it runs");
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.contains("Nothing is changed, missing or inserted."), "{text}");
}
