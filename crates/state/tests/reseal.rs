//! Private keys that are sealed anew under a newer data key.

mod common;

use common::{Replica, authority};
use steeple_core::{Authority, AuthorityKind, SealedKey};
use steeple_state::{Code, CommandKind, Outcome};

const X509: AuthorityKind = AuthorityKind::X509;

fn prepare(id: &str, keyring_term: u64) -> CommandKind {
    let key = SealedKey { keyring_term, ciphertext: b"sealed".to_vec() };
    let authority = Box::new(Authority { key, ..authority(X509, id) });
    CommandKind::PrepareAuthority { authority, upstream_roots: Vec::new() }
}

fn reseal(id: &str, from: u64, to: u64) -> CommandKind {
    let key = SealedKey { keyring_term: to, ciphertext: b"sealed anew".to_vec() };
    CommandKind::ResealAuthority { kind: X509, id: id.to_owned(), key, expected_term: from }
}

fn code(outcome: Outcome) -> Option<Code> {
    match outcome {
        Outcome::Rejected(why) => Some(why.code),
        _ => None,
    }
}

fn terms(replica: &Replica) -> Vec<u64> {
    let set = replica.state.authorities(X509);
    [&set.active, &set.next].into_iter().flatten().map(|authority| authority.key.keyring_term).collect()
}

#[test]
fn a_key_is_sealed_anew_once_and_only_forwards() {
    let mut replica = Replica::new();
    assert_eq!(code(replica.run(prepare("a", 1))), None);
    assert_eq!(code(replica.run(CommandKind::ActivateAuthority { kind: X509, id: "a".to_owned() })), None);
    assert_eq!(code(replica.run(prepare("b", 1))), None);
    assert_eq!(code(replica.run(reseal("a", 1, 2))), None);
    assert_eq!(code(replica.run(reseal("b", 1, 2))), None);
    assert_eq!(terms(&replica), [2, 2]);
    assert_eq!(code(replica.run(reseal("a", 1, 2))), Some(Code::Aborted), "it was done before");
    assert_eq!(code(replica.run(reseal("a", 2, 2))), Some(Code::Aborted));
    assert_eq!(code(replica.run(reseal("c", 1, 2))), Some(Code::NotFound));
}

/// The data key of the older term may be gone by the time that the authority is to sign.
#[test]
fn nothing_is_prepared_under_a_data_key_older_than_those_in_use() {
    let mut replica = Replica::new();
    assert_eq!(code(replica.run(prepare("a", 1))), None);
    assert_eq!(code(replica.run(CommandKind::ActivateAuthority { kind: X509, id: "a".to_owned() })), None);
    assert_eq!(code(replica.run(reseal("a", 1, 2))), None);
    assert_eq!(code(replica.run(prepare("b", 1))), Some(Code::Aborted));
    assert_eq!(code(replica.run(prepare("b", 2))), None);
}

/// An authority that signs no more has lost its key for good.
#[test]
fn an_old_authority_gets_no_key_back() {
    let mut replica = Replica::new();
    for id in ["a", "b"] {
        assert_eq!(code(replica.run(prepare(id, 1))), None);
        assert_eq!(code(replica.run(CommandKind::ActivateAuthority { kind: X509, id: id.to_owned() })), None);
    }
    assert_eq!(code(replica.run(reseal("a", 0, 2))), Some(Code::NotFound));
}
