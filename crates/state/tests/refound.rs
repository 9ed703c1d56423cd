//! A cluster that begins anew with the state of an earlier one.

mod common;

use std::collections::BTreeMap;

use common::{Replica, authority, create};
use steeple_core::{AcmeAccount, AuthorityKind, AuthorityStatus, JoinToken, SealedKey, Timestamp, WebCertificate};
use steeple_state::{Command, CommandKind, MemberFacts, NO_REQUEST, Outcome, Refounding, State};

const LATER: Timestamp = Timestamp::from_secs(5_000);

fn replica() -> Replica {
    let mut replica = Replica::new();
    let mut apply = |kind| {
        replica.apply(&Command { request_id: NO_REQUEST, at: Timestamp::from_secs(2_000), actor: String::new(), kind });
    };
    let member = |number: u8| MemberFacts {
        storage_uuid: [number; 16],
        name: format!("server-{number}"),
        peer_address: String::new(),
        api_address: String::new(),
    };
    apply(CommandKind::AllocateMember { member: member(8) });
    apply(create([common::entry("e1", "/e1", "/parent")]));
    let token = JoinToken { value: "t".to_owned(), expires_at: 9_000 };
    apply(CommandKind::CreateJoinToken { token, alias: None });
    for (kind, id) in [(AuthorityKind::X509, "a"), (AuthorityKind::Jwt, "j")] {
        apply(CommandKind::PrepareAuthority { authority: Box::new(authority(kind, id)), upstream_roots: Vec::new() });
        apply(CommandKind::ActivateAuthority { kind, id: id.to_owned() });
    }
    let next = Box::new(authority(AuthorityKind::X509, "b"));
    apply(CommandKind::PrepareAuthority { authority: next, upstream_roots: Vec::new() });
    replica
}

fn refounding(rotate: bool) -> Refounding {
    let sealed = |text: &str| SealedKey { keyring_term: 1, ciphertext: text.as_bytes().to_vec() };
    let keys = [(AuthorityKind::X509, "a"), (AuthorityKind::X509, "b"), (AuthorityKind::Jwt, "j")];
    Refounding {
        cluster_uuid: [9; 16],
        keyring: b"new keyring".to_vec(),
        peer_ca: b"new peer ca".to_vec(),
        keys: keys.into_iter().map(|(kind, id)| ((kind, id.to_owned()), sealed("again"))).collect::<BTreeMap<_, _>>(),
        first: MemberFacts {
            storage_uuid: [7; 16],
            name: "restored".to_owned(),
            peer_address: String::new(),
            api_address: String::new(),
        },
        at: LATER,
        rotate,
    }
}

/// Certificates of the web are sealed for a cluster that is no more, and can be obtained again.
#[test]
fn keys_of_the_web_go() {
    let mut replica = replica();
    let key = SealedKey { keyring_term: 1, ciphertext: b"sealed".to_vec() };
    let certificate = Box::new(WebCertificate {
        domain: "a.test".to_owned(),
        chain: vec![b"leaf".to_vec()],
        key: key.clone(),
        not_before: Timestamp::default(),
        not_after: LATER,
    });
    for kind in [
        CommandKind::SetAcmeAccount { account: AcmeAccount { directory_url: "https://ca.test/".to_owned(), key } },
        CommandKind::SetWebCertificate { certificate },
        CommandKind::SetAcmeChallenge { domain: "b.test".to_owned(), digest: Some([1; 32]) },
    ] {
        assert_eq!(replica.run(kind), Outcome::Done);
    }
    let mut state = replica.state;
    assert_eq!(state.web_keys().count(), 2);
    state.refound(&refounding(false)).unwrap();
    assert_eq!((state.web_keys().count(), state.acme_challenge("b.test")), (0, None));
}

#[test]
fn one_member_is_left_and_no_number_is_used_again() {
    let mut state = replica().state;
    let before = state.clone();
    let done = state.refound(&refounding(true)).unwrap();

    let cluster = state.cluster().unwrap();
    assert_eq!((cluster.uuid, &cluster.trust_domain), ([9; 16], before.trust_domain().unwrap()));
    assert_eq!(state.members().map(|member| member.node_id).collect::<Vec<_>>(), [done.node_id]);
    assert!(before.members().all(|member| member.node_id < done.node_id));
    assert!(cluster.node_id_next > done.node_id);
    assert_eq!((done.members_removed, done.join_tokens_voided), (2, 1));
    assert_eq!(state.count_join_tokens(), 0);
    assert_eq!((done.index, state.applied_index()), (before.applied_index() + 1, done.index));
    assert_eq!(state.now(), LATER);

    let sequence = |state: &State| state.own_bundle().unwrap().sequence;
    assert!(sequence(&state) > sequence(&before) + 100_000);
    assert_eq!(sequence(&state), done.bundle_sequence);
    let (entry, earlier) = (state.entry("e1").unwrap(), before.entry("e1").unwrap());
    assert!(entry.revision > earlier.revision + 100_000);
    assert_eq!((&entry.spiffe_id, entry.created_at), (&earlier.spiffe_id, earlier.created_at));
    assert!(state.keyring().unwrap().revision > before.keyring().unwrap().revision);
    assert_eq!(state.peer_ca().unwrap().content, b"new peer ca");
}

#[test]
fn signing_keys_sign_on_and_are_marked_for_replacement() {
    let mut state = replica().state;
    state.refound(&refounding(true)).unwrap();
    for kind in [AuthorityKind::X509, AuthorityKind::Jwt] {
        let active = state.active_authority(kind).unwrap();
        assert!(active.restored);
        assert_eq!(active.key.ciphertext, b"again");
    }
    assert_eq!(state.authorities(AuthorityKind::X509).next, None, "what was prepared is as old as the backup");

    let mut state = replica().state;
    state.refound(&refounding(false)).unwrap();
    assert!(!state.active_authority(AuthorityKind::X509).unwrap().restored);
    let next = state.authorities(AuthorityKind::X509).next.clone().unwrap();
    assert_eq!((next.status, next.key.ciphertext), (AuthorityStatus::Prepared, b"again".to_vec()));
}

#[test]
fn a_clock_that_ran_ahead_is_right_again() {
    let mut replica = replica();
    let ahead = Timestamp::from_secs(90_000);
    replica.at = ahead;
    let mut authority = authority(AuthorityKind::X509, "c");
    authority.issued_at = ahead;
    replica.run(CommandKind::PrepareAuthority { authority: Box::new(authority), upstream_roots: Vec::new() });
    replica.run(CommandKind::ActivateAuthority { kind: AuthorityKind::X509, id: "c".to_owned() });
    let mut state = replica.state;
    let done = state.refound(&refounding(false)).unwrap();
    assert_eq!((done.clock_was, state.now()), (Some(ahead), LATER));
    assert!(state.active_authority(AuthorityKind::X509).unwrap().restored, "it begins later than now");
    assert!(!state.active_authority(AuthorityKind::Jwt).unwrap().restored);

    let done = self::replica().state.refound(&refounding(false)).unwrap();
    assert_eq!(done.clock_was, None);
}

#[test]
fn its_rows_load_with_the_same_hash() {
    let mut state = replica().state;
    state.refound(&refounding(true)).unwrap();
    let again = State::from_rows(state.applied_index(), state.rows()).unwrap();
    assert!(again == state);
}

#[test]
fn a_state_without_a_cluster_is_refused() {
    assert!(State::new().refound(&refounding(true)).is_err());
}
