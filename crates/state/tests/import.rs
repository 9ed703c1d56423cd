//! Records of another server: they come as they were, twice is once, and nothing that is here is lost.

mod common;

use std::sync::Arc;

use common::Replica;
use steeple_core::{
    AttestedAgent, Bundle, BundleEndpointProfile, Entry, FederationRelationship, JoinToken, JwtAuthority, Timestamp,
    X509Authority,
};
use steeple_state::limits::IMPORT_RECORDS_MAX;
use steeple_state::{Code, CommandKind, ImportRecord, ImportResult, Outcome};

fn import(replica: &mut Replica, records: &[ImportRecord]) -> Vec<ImportResult> {
    let predicted: Vec<_> = records.iter().map(|record| replica.state.import_result(record)).collect();
    match replica.run(CommandKind::Import { records: records.to_vec() }) {
        Outcome::Imported(results) => {
            assert_eq!(predicted, results, "a dry run says what happens");
            results
        }
        other => panic!("{other:?}"),
    }
}

fn entry(id: &str) -> Entry {
    Entry { revision: 7, created_at: 500, hint: "h".to_owned(), ..common::entry(id, "/web", "/spire/agent/a") }
}

fn entry_record(entry: Entry) -> ImportRecord {
    ImportRecord::Entry(Arc::new(entry))
}

fn agent() -> AttestedAgent {
    AttestedAgent { new_serial: "12".to_owned(), new_not_after: 5000, ..common::agent("/spire/agent/a", "11") }
}

fn bundle(name: &str, roots: &[&str], sequence: u64) -> Bundle {
    let root = |text: &&str| X509Authority { der: text.as_bytes().to_vec(), tainted: false };
    let x509_authorities = roots.iter().map(root).collect();
    Bundle { x509_authorities, sequence, ..Bundle::empty(common::trust_domain(name)) }
}

fn bundle_record(bundle: Bundle) -> ImportRecord {
    ImportRecord::Bundle(Arc::new(bundle))
}

fn everything() -> Vec<ImportRecord> {
    let one = common::trust_domain("one.test");
    vec![
        bundle_record(bundle(common::OWN, &["old root"], 9)),
        bundle_record(bundle("one.test", &["r"], 3)),
        ImportRecord::Relationship(FederationRelationship {
            trust_domain: one.clone(),
            bundle_endpoint_url: "https://one.test/".to_owned(),
            profile: BundleEndpointProfile::HttpsWeb,
        }),
        entry_record(Entry { federates_with: vec![one], ..entry("e1") }),
        ImportRecord::Agent(Box::new(agent())),
        ImportRecord::Agent(Box::new(common::agent("/spire/agent/banned", ""))),
        ImportRecord::JoinToken(JoinToken { value: "t".to_owned(), expires_at: 2000 }),
    ]
}

#[test]
fn records_keep_what_they_were_and_a_second_import_changes_no_row() {
    let mut replica = Replica::new();
    let records = everything();
    // A dry run does not look for bundles, so that it need not write them first.
    assert!(import(&mut replica, &records).iter().all(|result| *result == ImportResult::Created));
    let stored = replica.state.entry("e1").unwrap();
    assert_eq!((stored.revision, stored.created_at, stored.hint.as_str()), (7, 500, "h"));
    assert_eq!(**replica.state.agent(&common::id("/spire/agent/a")).unwrap(), agent());
    assert!(replica.state.agent(&common::id("/spire/agent/banned")).unwrap().is_banned());

    let hash = replica.state.hash();
    assert!(import(&mut replica, &records).iter().all(|result| *result == ImportResult::Unchanged));
    assert_eq!(replica.state.hash(), hash);
    assert_eq!(replica.reloaded(), replica.state);
}

#[test]
fn one_conflict_keeps_all_of_the_command_out() {
    let mut replica = Replica::new();
    import(&mut replica, &[entry_record(entry("e1"))]);
    let hash = replica.state.hash();
    let other = Entry { hint: "other".to_owned(), dns_names: vec!["a.test".to_owned()], ..entry("e1") };
    let results = import(&mut replica, &[entry_record(entry("e2")), entry_record(other)]);
    let text = "another entry has this id here: other DNS names, hint";
    assert_eq!(results, [ImportResult::Created, ImportResult::Conflict(text.to_owned())]);
    assert_eq!((replica.state.hash(), replica.state.entry("e2")), (hash, None));
}

#[test]
fn what_moved_on_here_stays() {
    let mut replica = Replica::new();
    import(&mut replica, &everything());
    replica.run(CommandKind::PromoteSerial { id: agent().id, serial: "12".to_owned() });
    let edited = Entry { hint: "edited".to_owned(), ..entry("e1") };
    let update = steeple_state::EntryUpdate {
        entry: Arc::new(edited),
        mask: steeple_state::EntryMask { hint: true, ..Default::default() },
    };
    replica.run(CommandKind::UpdateEntries { updates: vec![update] });
    replica.run(CommandKind::SetBundles { bundles: vec![Arc::new(bundle("one.test", &["r2"], 4))] });
    let results = import(&mut replica, &everything());
    let kept: Vec<usize> = (0..results.len()).filter(|at| matches!(results[*at], ImportResult::Kept(_))).collect();
    assert_eq!(kept, [1, 3, 4], "{results:?}");
    assert_eq!(replica.state.entry("e1").unwrap().hint, "edited");

    // A ban here outlives an import from a store that does not know of it; one made there is not brought over a live
    // agent in silence.
    replica.run(CommandKind::BanAgent { id: agent().id });
    assert!(matches!(import(&mut replica, &everything())[4], ImportResult::Kept(_)));
    let mut replica = Replica::new();
    import(&mut replica, &everything());
    let banned = AttestedAgent { serial: String::new(), new_serial: String::new(), new_not_after: 0, ..agent() };
    assert!(import(&mut replica, &[ImportRecord::Agent(Box::new(banned))])[0].is_conflict());
}

#[test]
fn a_used_token_does_not_come_back() {
    let mut replica = Replica::new();
    let token = |value: &str, expires_at| ImportRecord::JoinToken(JoinToken { value: value.to_owned(), expires_at });
    import(&mut replica, &[ImportRecord::Agent(Box::new(common::agent("/spire/agent/join_token/t", "1")))]);
    let results = import(&mut replica, &[token("t", 2000), token("late", 999), token("a b", 2000)]);
    assert_eq!(results[0], ImportResult::Kept("it has been used".to_owned()));
    assert_eq!(results[1], ImportResult::Refused("it has expired".to_owned()));
    assert!(matches!(results[2], ImportResult::Refused(_)), "{results:?}");
}

#[test]
fn the_own_bundle_grows_and_its_sequence_passes_both() {
    let mut replica = Replica::new();
    replica
        .run(CommandKind::AppendBundle { x509_authorities: vec![b"new root".to_vec()], jwt_authorities: Vec::new() });
    let mut theirs = bundle(common::OWN, &["old root"], 40);
    let key = |byte| JwtAuthority { public_key: vec![byte], key_id: "k".to_owned(), expires_at: 9, tainted: true };
    theirs.jwt_authorities.push(key(1));
    assert_eq!(import(&mut replica, &[bundle_record(theirs.clone())]), [ImportResult::Created]);
    let own = replica.state.own_bundle().unwrap().clone();
    assert_eq!((own.x509_authorities.len(), own.jwt_authorities[0].tainted, own.sequence), (2, true, 41));
    theirs.jwt_authorities = vec![key(2)];
    assert!(import(&mut replica, &[bundle_record(theirs)])[0].is_conflict());
}

#[test]
fn what_no_server_may_hold_is_refused_alone() {
    let mut replica = Replica::new();
    let foreign = Entry { spiffe_id: common::trust_domain("one.test").member("/x").unwrap(), ..entry("e1") };
    let results = import(&mut replica, &[entry_record(foreign), entry_record(entry("e2"))]);
    assert!(matches!(&results[0], ImportResult::Refused(why) if why.contains("one.test")), "{results:?}");
    assert_eq!(results[1], ImportResult::Created);

    let unknown = Entry { federates_with: vec![common::trust_domain("two.test")], ..entry("e3") };
    let Outcome::Imported(results) = replica.run(CommandKind::Import { records: vec![entry_record(unknown)] }) else {
        panic!("no results")
    };
    assert!(matches!(&results[0], ImportResult::Refused(why) if why.contains("two.test")), "{results:?}");

    let many = vec![entry_record(entry("e4")); IMPORT_RECORDS_MAX + 1];
    match replica.run(CommandKind::Import { records: many }) {
        Outcome::Rejected(rejection) => assert_eq!(rejection.code, Code::ResourceExhausted),
        other => panic!("{other:?}"),
    }
    assert_eq!(replica.state.now(), Timestamp::from_secs(1000));
}
