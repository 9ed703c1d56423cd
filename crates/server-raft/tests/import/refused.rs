//! Imports that must not happen: a specific error each, and nothing written.

use steeple_api::server::entry::ListEntriesRequest;
use steeple_testkit::Server;

use crate::site::{Said, Site, count, import};

/// With what the command says in the end, on standard error.
fn assert_refused(said: &Said, parts: &[&str]) {
    assert!(!said.ok, "{}", said.stdout);
    for part in parts {
        assert!(said.stderr.contains(part), "{part:?} is not in: {}", said.stderr);
    }
}

async fn entries(server: &Server) -> usize {
    let request = ListEntriesRequest::default();
    server.admin().entries().list_entries(request).await.expect("a list").into_inner().entries.len()
}

#[tokio::test]
async fn datastores_and_keys_that_cannot_be_used_are_named() {
    let site = Site::new();
    let server = site.server("example.org").await;
    let good = site.datastore("good.sqlite3", "");
    let empty = site.scratch.join("empty");
    std::fs::write(&empty, b"").expect("a file");
    assert_refused(&import(&server, &empty, &[]).await, &["empty is no SQLite database", "connection_string"]);
    assert_refused(&import(&server, &site.scratch.join("none"), &[]).await, &["cannot open", "No such file"]);
    let newer = site.datastore("newer.sqlite3", "UPDATE migrations SET version = 26;");
    assert_refused(&import(&server, &newer, &[]).await, &["schema version 26", "SPIRE 1.14 or 1.15"]);

    let torn = site.keys("torn.json", |keys| keys[..keys.len() / 2].to_owned());
    let said = import(&server, &good, &["-keys", torn.to_str().expect("text")]).await;
    assert_refused(&said, &["torn.json", "damaged at line", "leave -keys out"]);
    let altered = site.keys("altered.json", |keys| keys.replace("MIGHAgEAMBMG", "MIGHAgEAMBMH"));
    let said = import(&server, &good, &["-keys", altered.to_str().expect("text")]).await;
    assert_refused(&said, &["key \"JWT-Signer-A\"", "altered.json"]);
    assert!(!said.stderr.contains("MIGH"), "no part of a key is shown: {}", said.stderr);
    assert_eq!(entries(&server).await, 0);
}

#[tokio::test]
async fn another_trust_domain_keeps_its_records() {
    let site = Site::new();
    let server = site.server("other.org").await;
    let said = import(&server, &site.datastore("d.sqlite3", ""), &[]).await;
    assert_refused(&said, &["the datastore is of trust domain example.org, this server of other.org"]);
    assert_eq!(entries(&server).await, 0);
}

#[tokio::test]
async fn conflicts_are_listed_and_keep_everything_out() {
    let site = Site::new();
    let server = site.server("example.org").await;
    let first = site.datastore("first.sqlite3", "DELETE FROM join_tokens;");
    assert!(import(&server, &first, &[]).await.ok);
    let known = entries(&server).await;
    let change = "UPDATE registered_entries SET hint = 'other' WHERE entry_id = 'full';
                  INSERT INTO registered_entries (id, created_at, entry_id, spiffe_id, parent_id)
                  VALUES (99, '2026-01-01 00:00:00+00:00', 'added', 'spiffe://example.org/added',
                          'spiffe://example.org/rack');
                  INSERT INTO selectors (registered_entry_id, type, value) VALUES (99, 'unix', 'uid:99');";
    let second = site.datastore("second.sqlite3", change);
    let said = import(&server, &second, &["-output", "json"]).await;
    assert_refused(&said, &["1 records are in conflict", "nothing was written"]);
    let report = said.json();
    assert_eq!((count(&report, "entry", "conflicts"), count(&report, "entry", "created")), (1, 1), "{report}");
    assert_eq!(report["conflicts"][0]["name"], "full");
    assert_eq!(report["conflicts"][0]["reason"], "another entry has this id here: other hint");
    assert_eq!(entries(&server).await, known);
}

#[tokio::test]
async fn rows_that_no_server_should_hold_do_not_stop_the_others() {
    let site = Site::new();
    let server = site.server("example.org").await;
    let change = "UPDATE registered_entries SET spiffe_id = 'spiffe://partner.test/x' WHERE entry_id = 'edited';
                  UPDATE registered_entries SET spiffe_id = 'nonsense' WHERE entry_id = 'stored';";
    let report = import(&server, &site.datastore("d.sqlite3", change), &["-output", "json"]).await.report();
    assert_eq!((count(&report, "entry", "refused"), report["written"].as_bool()), (1, Some(true)), "{report}");
    let left = report["left_behind"].as_array().expect("a list");
    assert!(left.iter().any(|left| left["name"] == "stored"), "{report}");
    assert!(entries(&server).await >= 5);
}
