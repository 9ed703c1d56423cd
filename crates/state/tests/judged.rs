//! Writes that take effect only on the entry that somebody judged.

mod common;

use std::sync::Arc;

use common::{Replica, entry};
use steeple_core::{Entry, TrustDomain};
use steeple_state::{
    Code, CommandKind, DeleteMode, EntryCreation, EntryMask, EntryUpdate, JudgedUpdate, Outcome, Rejection,
};

fn stored(replica: &Replica, id: &str) -> Arc<Entry> {
    replica.state.entry(id).expect("an entry").clone()
}

fn create(replica: &mut Replica, draft: Entry) {
    let outcome = replica.run(CommandKind::CreateEntries { entries: vec![Arc::new(draft)] });
    assert!(matches!(&outcome, Outcome::EntriesCreated(made) if matches!(made[..], [EntryCreation::Created(_)])));
}

/// Sets the hint of what `judged` was.
fn hinted(judged: &Arc<Entry>, hint: &str) -> JudgedUpdate {
    let entry = Arc::new(Entry { hint: hint.to_owned(), ..(**judged).clone() });
    let mask = EntryMask { hint: true, ..EntryMask::default() };
    JudgedUpdate { update: EntryUpdate { entry, mask }, judged: judged.clone() }
}

fn updated(replica: &mut Replica, update: JudgedUpdate) -> Result<Arc<Entry>, Code> {
    match replica.run(CommandKind::UpdateJudgedEntries { updates: vec![update] }) {
        Outcome::EntriesUpdated(mut results) => results.remove(0).map_err(|why: Rejection| why.code),
        other => panic!("{other:?}"),
    }
}

fn deleted(replica: &mut Replica, judged: Vec<Arc<Entry>>) -> Vec<Result<(), Code>> {
    match replica.run(CommandKind::DeleteJudgedEntries { judged }) {
        Outcome::Deleted(results) => results.into_iter().map(|result| result.map_err(|why| why.code)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entry_that_changed_since_it_was_judged_is_left_alone() {
    let mut replica = Replica::new();
    create(&mut replica, entry("e1", "/a", "/spire/agent/one"));
    let judged = stored(&replica, "e1");
    let now = updated(&mut replica, hinted(&judged, "first")).expect("it is what was judged");
    assert_eq!((now.hint.as_str(), now.revision), ("first", 1));

    let again = updated(&mut replica, hinted(&judged, "second"));
    assert_eq!(again, Err(Code::Aborted));
    assert_eq!(deleted(&mut replica, vec![judged.clone()]), [Err(Code::Aborted)]);
    assert_eq!(stored(&replica, "e1"), now, "nothing happened to it");

    // In one command, each by itself.
    create(&mut replica, entry("e2", "/b", "/spire/agent/one"));
    let other = stored(&replica, "e2");
    assert_eq!(deleted(&mut replica, vec![judged.clone(), other]), [Err(Code::Aborted), Ok(())]);
    assert_eq!(deleted(&mut replica, vec![now]), [Ok(())]);
    assert_eq!(deleted(&mut replica, vec![judged.clone()]), [Err(Code::NotFound)]);
    assert_eq!(updated(&mut replica, hinted(&judged, "third")), Err(Code::NotFound));
}

/// The same ID, revision and second of creation; only the content tells them apart.
#[test]
fn another_entry_in_its_place_is_not_what_was_judged() {
    let mut replica = Replica::new();
    create(&mut replica, entry("e1", "/a", "/spire/agent/one"));
    let judged = stored(&replica, "e1");
    replica.run(CommandKind::DeleteEntries { ids: vec!["e1".to_owned()] });
    create(&mut replica, entry("e1", "/b", "/spire/agent/one"));
    let there = stored(&replica, "e1");
    assert_eq!((there.revision, there.created_at), (judged.revision, judged.created_at));
    assert_eq!(updated(&mut replica, hinted(&judged, "mine")), Err(Code::Aborted));
    assert_eq!(deleted(&mut replica, vec![judged]), [Err(Code::Aborted)]);
}

/// A change that does not raise the revision is one too.
#[test]
fn an_entry_that_lost_its_federation_is_not_what_was_judged() {
    let mut replica = Replica::new();
    let partner = TrustDomain::from_name("one.test").expect("a name");
    let bundle = Arc::new(steeple_core::Bundle::empty(partner.clone()));
    replica.run(CommandKind::SetBundles { bundles: vec![bundle] });
    let draft = entry("e1", "/a", "/spire/agent/one");
    create(&mut replica, Entry { federates_with: vec![partner.clone()], ..draft });
    let judged = stored(&replica, "e1");
    let mode = DeleteMode::Dissociate;
    replica.run(CommandKind::DeleteBundles { trust_domains: vec![partner], mode });
    assert_eq!(stored(&replica, "e1").revision, judged.revision);
    assert_eq!(updated(&mut replica, hinted(&judged, "mine")), Err(Code::Aborted));
}
