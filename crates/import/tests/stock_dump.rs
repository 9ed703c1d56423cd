//! A datastore that a stock SPIRE server wrote (`data/`: its SQL dump and its keys.json; three agents, one of them
//! banned), and what has been done to it.

mod support;

use std::collections::BTreeMap;

use steeple_core::{AuthorityKind, AuthorityStatus, BundleEndpointProfile, Entry, Timestamp, TrustDomain};
use steeple_import::{Noun, Plan, PlanError, PostgresOptions, ReadError, Source, plan};
use support::{DUMP, keys, read, sqlite_of};

/// After the short-lived records expired, long before the others do.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn domain(name: &str) -> TrustDomain {
    TrustDomain::from_name(name).unwrap()
}

async fn planned(changes: &str) -> Plan {
    let (_dir, path) = sqlite_of(&format!("{DUMP}{changes}"));
    plan(read(&path).await.unwrap(), &[keys()], &domain("example.org"), NOW).unwrap()
}

fn left(plan: &Plan, noun: Noun) -> Vec<(&str, &str)> {
    let of_noun = plan.left_behind.iter().filter(|left| left.noun == noun);
    of_noun.map(|left| (left.name.as_str(), left.reason.as_str())).collect()
}

#[tokio::test]
async fn every_field_comes_along() {
    let plan = planned("").await;
    let entries: BTreeMap<&str, &Entry> = plan.entries.iter().map(|entry| (entry.id.as_str(), entry)).collect();
    assert_eq!(entries.len(), 7);
    let full = entries["full"];
    assert_eq!((full.x509_svid_ttl, full.jwt_svid_ttl, full.admin, full.downstream), (600, 120, true, true));
    assert_eq!((full.hint.as_str(), full.expires_at, full.store_svid), ("external", 4_102_444_800, false));
    assert_eq!(full.dns_names, ["web.example.org", "alt.example.org"]);
    assert_eq!(full.federates_with, [domain("partner.test"), domain("web.test")]);
    let selectors: Vec<String> = full.selectors.iter().map(ToString::to_string).collect();
    assert_eq!(selectors, ["unix:gid:1000", "unix:uid:1000"]);
    assert_eq!((full.created_at, full.revision), (1_795_649_036, 0));
    assert_eq!((entries["edited"].revision, entries["edited"].hint.as_str()), (3, "c"));
    assert!(entries["stored"].store_svid);
    assert_eq!(left(&plan, Noun::Entry), [("gone", "it has expired")]);

    assert_eq!(plan.agents.len(), 3);
    let banned: Vec<bool> = plan.agents.iter().map(|agent| agent.is_banned()).collect();
    assert_eq!(banned, [false, true, false]);
    let first = &plan.agents[0];
    assert_eq!(first.serial, "108369680835795540723308031111579471703");
    assert_eq!((first.not_after, first.can_reattest, first.selectors.len()), (3_372_449_009, true, 3));
    assert_eq!(first.agent_version, "1.16.0-dev-unk");

    assert_eq!(plan.join_tokens.len(), 1);
    assert_eq!(left(&plan, Noun::JoinToken), [("", "it has expired")]);
    let profiles: Vec<_> = plan.relationships.iter().map(|found| (found.trust_domain.name(), &found.profile)).collect();
    let spiffe = BundleEndpointProfile::HttpsSpiffe { endpoint_spiffe_id: domain("partner.test").server_id() };
    assert_eq!(profiles, [("partner.test", &spiffe), ("web.test", &BundleEndpointProfile::HttpsWeb)]);

    let bundles: Vec<_> = plan.bundles.iter().map(|bundle| (bundle.trust_domain.name(), bundle.sequence)).collect();
    assert_eq!(bundles.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["example.org", "partner.test", "web.test"]);
    assert_eq!((plan.bundles[0].x509_authorities.len(), plan.bundles[0].jwt_authorities.len()), (2, 2));
    assert!(bundles[0].1 > 0, "the sequence comes along");
    assert!(plan.notes.is_empty(), "{:?}", plan.notes);
}

#[tokio::test]
async fn keys_find_their_authorities() {
    let plan = planned("").await;
    let chosen: Vec<_> = plan
        .authorities
        .iter()
        .map(|imported| (imported.authority.kind, imported.authority.status, imported.authority.id.len()))
        .collect();
    let (active, prepared) = (AuthorityStatus::Active, AuthorityStatus::Prepared);
    let (x509, jwt) = (AuthorityKind::X509, AuthorityKind::Jwt);
    assert_eq!(chosen, [(x509, active, 40), (x509, prepared, 40), (jwt, active, 32), (jwt, prepared, 32)]);
    assert!(left(&plan, Noun::Authority).is_empty());
    let own = &plan.bundles[0];
    assert!(own.x509_authorities.iter().any(|root| root.der == plan.authorities[0].authority.certificate));

    let (_dir, path) = sqlite_of(DUMP);
    let without = plan_without_keys(&path).await;
    assert!(without.authorities.is_empty());
    assert_eq!(without.notes.len(), 2, "{:?}", without.notes);
    assert_eq!(left(&without, Noun::Authority).len(), 2);
}

async fn plan_without_keys(path: &std::path::Path) -> Plan {
    plan(read(path).await.unwrap(), &[], &domain("example.org"), NOW).unwrap()
}

#[tokio::test]
async fn what_no_server_should_hold_is_told_and_left_behind() {
    let plan = planned(
        "UPDATE registered_entries SET spiffe_id = 'spiffe://Example.org/x' WHERE entry_id = 'edited';
         UPDATE registered_entries SET additional_attributes = x'ff' WHERE entry_id = 'stored';
         UPDATE registered_entries SET additional_attributes = x'08011001' WHERE entry_id = 'node';
         DELETE FROM registered_entries WHERE entry_id = 'full';
         UPDATE attested_node_entries SET spiffe_id = 'nonsense' WHERE id = 3;
         DELETE FROM attested_node_entries WHERE id = 2;
         UPDATE bundles SET data = x'ff' WHERE trust_domain = 'spiffe://web.test';
         UPDATE federated_trust_domains SET bundle_endpoint_profile = 'http' WHERE trust_domain = 'web.test';
         ALTER TABLE registered_entries ADD COLUMN colour varchar(9);
         INSERT INTO ca_journals (data) VALUES (x'ff');",
    )
    .await;
    let entries = left(&plan, Noun::Entry);
    let named = |name: &str| entries.iter().find(|(found, _)| *found == name).map(|(_, reason)| *reason).unwrap();
    assert!(named("edited").contains("SPIFFE ID \"spiffe://Example.org/x\""), "{entries:?}");
    assert!(named("stored").contains("attributes are damaged"), "{entries:?}");
    assert!(named("row 2").contains("an entry that is gone"), "{entries:?}");
    let node = plan.entries.iter().find(|entry| entry.id == "node").unwrap();
    assert!(node.disable_x509_svid_prefetch && node.jwt_svid_include_jti);
    let agents = left(&plan, Noun::Agent);
    assert_eq!((plan.agents.len(), agents.len()), (1, 2), "{agents:?}");
    assert_eq!(left(&plan, Noun::Bundle), [("spiffe://web.test", "its content is damaged")]);
    assert_eq!(left(&plan, Noun::Relationship).len(), 1);
    assert_eq!(left(&plan, Noun::Authority), [("journal 2", "its content is damaged")]);
    assert!(plan.notes.iter().any(|note| note.contains("registered_entries.colour")), "{:?}", plan.notes);
}

#[tokio::test]
async fn an_entry_loses_a_bundle_that_does_not_come_along() {
    let plan = planned("UPDATE bundles SET data = x'ff' WHERE trust_domain = 'spiffe://web.test';").await;
    let full = plan.entries.iter().find(|entry| entry.id == "full").unwrap();
    assert_eq!(full.federates_with, [domain("partner.test")]);
    assert!(left(&plan, Noun::Entry).iter().any(|(name, reason)| *name == "full" && reason.contains("row 3")));
}

#[tokio::test]
async fn a_datastore_of_another_trust_domain_is_refused() {
    let (_dir, path) = sqlite_of(DUMP);
    let error = plan(read(&path).await.unwrap(), &[], &domain("other.org"), NOW).unwrap_err();
    let expected = PlanError::TrustDomain { found: domain("example.org"), configured: domain("other.org") };
    assert_eq!(error, expected);
    // Of a domain that it federates with, too.
    let error = plan(read(&path).await.unwrap(), &[], &domain("partner.test"), NOW).unwrap_err();
    assert!(matches!(error, PlanError::TrustDomain { .. }), "{error}");
}

#[tokio::test]
async fn schema_versions_that_are_not_known_stop_everything() {
    for version in [0, 22, 26] {
        let (_dir, path) = sqlite_of(&format!("{DUMP}UPDATE migrations SET version = {version};"));
        let error = read(&path).await.err().unwrap();
        assert!(matches!(error, ReadError::Version { found } if found == version), "{error}");
    }
    // What SPIRE 1.13 left, before the two columns of later versions.
    let older = "ALTER TABLE attested_node_entries DROP COLUMN agent_version; \
                 ALTER TABLE registered_entries DROP COLUMN additional_attributes; UPDATE migrations SET version = 23;";
    let plan = planned(older).await;
    assert_eq!((plan.agents[0].agent_version.as_str(), plan.entries.len()), ("", 7));
    let (_dir, path) = sqlite_of(&format!(
        "{DUMP}DROP INDEX idx_registered_entries_hint; ALTER TABLE registered_entries DROP COLUMN hint;"
    ));
    let error = read(&path).await.err().unwrap();
    assert!(matches!(error, ReadError::NoColumn { column: "hint", .. }), "{error}");
}

#[tokio::test]
async fn files_that_are_no_datastore_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (_dir, whole) = sqlite_of(DUMP);
    let mut damaged = std::fs::read(whole).unwrap();
    damaged.truncate(damaged.len() / 3);
    for (path, part) in [
        (dir.path().join("missing"), "cannot open"),
        (file("empty", b""), "is no SQLite database"),
        (file("text", b"{\"keys\": {}} and some more"), "is no SQLite database"),
        (file("damaged", &damaged), "cannot be read"),
        (sqlite_of_other(dir.path()), "no table migrations"),
    ] {
        let error = read(&path).await.err().unwrap().to_string();
        assert!(error.contains(part), "{}: {error}", path.display());
    }
}

fn sqlite_of_other(dir: &std::path::Path) -> std::path::PathBuf {
    let path = dir.join("other");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    path
}

#[tokio::test]
async fn nothing_appears_beside_the_file_and_its_log_is_read() {
    let (dir, path) = sqlite_of(DUMP);
    let names = || std::fs::read_dir(dir.path()).unwrap().count();
    assert!(!read(&path).await.unwrap().in_use);
    assert_eq!(names(), 1);

    // A server that was killed leaves records in the log.
    let writer = rusqlite::Connection::open(&path).unwrap();
    writer
        .execute_batch("PRAGMA journal_mode = WAL; UPDATE registered_entries SET hint = 'late' WHERE id = 2;")
        .unwrap();
    let plan = plan(read(&path).await.unwrap(), &[], &domain("example.org"), NOW).unwrap();
    assert!(plan.entries.iter().any(|entry| entry.hint == "late"));
}

#[tokio::test]
async fn a_name_that_sqlite_would_take_apart_is_a_name() {
    let (dir, path) = sqlite_of(DUMP);
    let odd = dir.path().join("a?mode=rwc#100%.sqlite3");
    std::fs::rename(path, &odd).unwrap();
    let source: Source = format!("sqlite:{}", odd.display()).parse().unwrap();
    assert!(source.read(&PostgresOptions::default()).await.is_ok());
}
