//! Limits: each named bound is reached once and holds.

mod common;

use std::sync::Arc;

use common::{Replica, bundle, create, entry, member, trust_domain};
use steeple_core::{Entry, JoinToken, Timestamp};
use steeple_state::limits::{
    CASCADE_ENTRIES_MAX, MEMBERS_MAX, PRUNE_ITEMS_MAX, REQUESTS_BYTES_MAX, REQUESTS_MAX, SEALED_BYTES_MAX,
};
use steeple_state::{Code, Command, CommandKind, DeleteMode, Outcome, Rejection, Table};

fn many(count: usize, change: impl Fn(Entry) -> Entry) -> CommandKind {
    create((0..count).map(|number| change(entry(&format!("e{number}"), &format!("/w{number}"), "/p"))))
}

fn requests(replica: &Replica) -> usize {
    replica.rows.keys().filter(|(table, _)| *table == Table::Requests).count()
}

fn request(number: u64, kind: CommandKind) -> Command {
    let mut request_id = [1; 16];
    request_id[..8].copy_from_slice(&number.to_be_bytes());
    Command { request_id, at: Timestamp::from_secs(1000), actor: String::new(), kind }
}

#[test]
fn the_oldest_requests_are_forgotten_by_number() {
    let mut replica = Replica::new();
    for number in 0..=REQUESTS_MAX as u64 {
        replica.apply(&request(number, CommandKind::Noop));
    }
    assert_eq!(requests(&replica), REQUESTS_MAX);
    let newest = replica.apply(&request(REQUESTS_MAX as u64, CommandKind::Noop));
    assert!(newest.changes.is_empty());
    let oldest = replica.apply(&request(0, CommandKind::Noop));
    assert!(!oldest.changes.is_empty());
    assert!(replica.reloaded() == replica.state);
}

#[test]
fn the_oldest_requests_are_forgotten_by_bytes() {
    let mut replica = Replica::new();
    // Each outcome repeats a bundle of 1 MiB.
    let mut large = bundle("one.test");
    large.x509_authorities[0].der = vec![1; 1 << 20];
    let large = Arc::new(large);
    for number in 0..20 {
        replica.apply(&request(number, CommandKind::SetBundles { bundles: vec![large.clone()] }));
    }
    assert_eq!(requests(&replica), (REQUESTS_BYTES_MAX >> 20) - 1);
}

#[test]
fn pruning_goes_in_steps() {
    let mut replica = Replica::new();
    replica.run(many(PRUNE_ITEMS_MAX as usize + 1, |entry| Entry { expires_at: 1500, ..entry }));
    let prune = CommandKind::PruneEntries { before: 1501 };
    assert_eq!(replica.run(prune.clone()), Outcome::Pruned { items: PRUNE_ITEMS_MAX, more: true });
    assert_eq!(replica.run(prune.clone()), Outcome::Pruned { items: 1, more: false });
    assert_eq!(replica.run(prune), Outcome::Pruned { items: 0, more: false });

    for number in 0..=PRUNE_ITEMS_MAX {
        let token = JoinToken { value: format!("t{number}"), expires_at: 1500 };
        replica.run(CommandKind::CreateJoinToken { token, alias: None });
    }
    let prune = CommandKind::PruneJoinTokens { before: 1501 };
    assert_eq!(replica.run(prune.clone()), Outcome::Pruned { items: PRUNE_ITEMS_MAX, more: true });
    assert_eq!(replica.run(prune), Outcome::Pruned { items: 1, more: false });
}

#[test]
fn a_bundle_with_many_entries_is_deleted_in_steps() {
    for mode in [DeleteMode::Delete, DeleteMode::Dissociate] {
        let mut replica = Replica::new();
        replica.run(CommandKind::SetBundles { bundles: vec![Arc::new(bundle("one.test"))] });
        let linked = |entry| Entry { federates_with: vec![trust_domain("one.test")], ..entry };
        replica.run(many(CASCADE_ENTRIES_MAX + 1, linked));
        let delete = CommandKind::DeleteBundles { trust_domains: vec![trust_domain("one.test")], mode };
        match replica.run(delete.clone()) {
            Outcome::Deleted(results) => assert_eq!(results[0].as_ref().unwrap_err().code, Code::Aborted),
            other => panic!("{other:?}"),
        }
        assert!(replica.state.bundle(&trust_domain("one.test")).is_some());
        assert_eq!(replica.run(delete), Outcome::Deleted(vec![Ok(())]));
        assert!(replica.state.bundle(&trust_domain("one.test")).is_none());
    }
}

#[test]
fn a_cluster_has_a_limited_number_of_members() {
    let mut replica = Replica::new();
    for number in 2..=MEMBERS_MAX as u8 {
        let outcome = replica.run(CommandKind::AllocateMember { member: member(number) });
        assert_eq!(outcome, Outcome::Member { node_id: number.into() });
    }
    let outcome = replica.run(CommandKind::AllocateMember { member: member(MEMBERS_MAX as u8 + 1) });
    assert!(matches!(outcome, Outcome::Rejected(Rejection { code: Code::ResourceExhausted, .. })));
}

#[test]
fn sealed_documents_have_a_limited_size() {
    let mut replica = Replica::new();
    let set = |bytes| CommandKind::SetKeyring { content: vec![0; bytes], expected_revision: 1 };
    let outcome = replica.run(set(SEALED_BYTES_MAX + 1));
    assert!(matches!(outcome, Outcome::Rejected(Rejection { code: Code::InvalidArgument, .. })));
    assert_eq!(replica.run(set(SEALED_BYTES_MAX)), Outcome::Done);
}
