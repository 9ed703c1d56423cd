//! Certificates of the web in the replicated state.

mod common;

use common::Replica;
use steeple_core::{AcmeAccount, SealedKey, Timestamp, WebCertificate};
use steeple_state::limits::{ACME_ACCOUNTS_MAX, WEB_CHAIN_BYTES_MAX, WEB_DOMAINS_MAX};
use steeple_state::{Code, CommandKind, Outcome, State, WebKey};

fn sealed(keyring_term: u64) -> SealedKey {
    SealedKey { keyring_term, ciphertext: b"sealed".to_vec() }
}

fn certificate(domain: &str, term: u64, not_after: i64) -> CommandKind {
    let certificate = Box::new(WebCertificate {
        domain: domain.to_owned(),
        chain: vec![b"leaf".to_vec(), b"issuer".to_vec()],
        key: sealed(term),
        not_before: Timestamp::from_secs(1),
        not_after: Timestamp::from_secs(not_after),
    });
    CommandKind::SetWebCertificate { certificate }
}

fn account(directory_url: &str, term: u64) -> CommandKind {
    CommandKind::SetAcmeAccount { account: AcmeAccount { directory_url: directory_url.to_owned(), key: sealed(term) } }
}

fn challenge(domain: &str, digest: Option<[u8; 32]>) -> CommandKind {
    CommandKind::SetAcmeChallenge { domain: domain.to_owned(), digest }
}

fn code(outcome: Outcome) -> Option<Code> {
    match outcome {
        Outcome::Rejected(why) => Some(why.code),
        _ => None,
    }
}

fn shown(state: &State, domain: &str) -> Option<[u8; 32]> {
    state.acme_challenge(domain).map(|challenge| challenge.digest)
}

/// Far enough in the future of every stamp here.
const LATER: i64 = 1_000_000;

#[test]
fn a_challenge_is_shown_until_the_certificate_is_there() {
    let mut replica = Replica::new();
    assert_eq!(code(replica.run(challenge("a.test", Some([1; 32])))), None);
    assert_eq!(code(replica.run(challenge("a.test", Some([2; 32])))), None);
    assert_eq!(code(replica.run(challenge("b.test", Some([3; 32])))), None);
    assert_eq!((shown(&replica.state, "a.test"), shown(&replica.state, "b.test")), (Some([2; 32]), Some([3; 32])));
    assert_eq!(code(replica.run(challenge("b.test", None))), None);
    assert_eq!(code(replica.run(certificate("a.test", 1, LATER))), None);
    assert_eq!((shown(&replica.state, "a.test"), shown(&replica.state, "b.test")), (None, None));
    assert_eq!(replica.state.web_certificate("a.test").map(|held| held.chain.len()), Some(2));
    assert_eq!(replica.reloaded(), replica.state);
}

#[test]
fn keys_are_sealed_anew_once_and_only_forwards() {
    let mut replica = Replica::new();
    assert_eq!(code(replica.run(account("https://ca.test/", 1))), None);
    assert_eq!(code(replica.run(certificate("a.test", 1, LATER))), None);
    let names = [
        WebKey::Account { directory_url: "https://ca.test/".to_owned() },
        WebKey::Certificate { domain: "a.test".to_owned() },
    ];
    let reseal = |name: &WebKey, from, to| CommandKind::ResealWebKey {
        name: name.clone(),
        key: sealed(to),
        expected_term: from,
    };
    for name in &names {
        assert_eq!(code(replica.run(reseal(name, 1, 2))), None);
        assert_eq!(replica.state.web_key(name), Some(&sealed(2)));
        assert_eq!(code(replica.run(reseal(name, 1, 2))), Some(Code::Aborted), "it was done before");
        assert_eq!(code(replica.run(reseal(name, 2, 2))), Some(Code::Aborted));
    }
    let missing = WebKey::Certificate { domain: "b.test".to_owned() };
    assert_eq!(code(replica.run(reseal(&missing, 1, 2))), Some(Code::NotFound));
    // What is sealed under a data key that may be gone is not taken.
    assert_eq!(code(replica.run(certificate("b.test", 1, LATER))), Some(Code::Aborted));
    assert_eq!(code(replica.run(account("https://other.test/", 1))), Some(Code::Aborted));
}

#[test]
fn what_is_kept_is_bounded_and_certificates_that_have_ended_go() {
    let mut replica = Replica::new();
    for number in 0..ACME_ACCOUNTS_MAX + 3 {
        assert_eq!(code(replica.run(account(&format!("https://ca-{number:02}.test/"), 1))), None);
    }
    assert_eq!(replica.state.web_keys().count(), ACME_ACCOUNTS_MAX);
    assert!(replica.state.acme_account(&format!("https://ca-{:02}.test/", ACME_ACCOUNTS_MAX + 2)).is_some());

    for number in 0..WEB_DOMAINS_MAX {
        assert_eq!(code(replica.run(certificate(&format!("a{number}.test"), 1, LATER))), None);
        assert_eq!(code(replica.run(challenge(&format!("a{number}.test"), Some([1; 32])))), None);
    }
    assert_eq!(code(replica.run(certificate("more.test", 1, LATER))), Some(Code::ResourceExhausted));
    assert_eq!(code(replica.run(challenge("more.test", Some([1; 32])))), Some(Code::ResourceExhausted));
    assert_eq!(code(replica.run(certificate("a0.test", 1, 1))), None, "a known name has its place");
    assert_eq!(code(replica.run(certificate("more.test", 1, LATER))), None, "that of a certificate that has ended");
    assert!(replica.state.web_certificate("a0.test").is_none());
}

#[test]
fn nonsense_is_refused() {
    let mut replica = Replica::new();
    let chain = |chain: Vec<Vec<u8>>| match certificate("a.test", 1, LATER) {
        CommandKind::SetWebCertificate { certificate } => {
            CommandKind::SetWebCertificate { certificate: Box::new(WebCertificate { chain, ..*certificate }) }
        }
        other => other,
    };
    for kind in [
        certificate("", 1, LATER),
        certificate(&"a".repeat(254), 1, LATER),
        chain(Vec::new()),
        chain(vec![vec![0; WEB_CHAIN_BYTES_MAX + 1]]),
        challenge("", Some([1; 32])),
        account("", 1),
        account(&"a".repeat(2_049), 1),
    ] {
        assert_eq!(code(replica.run(kind)), Some(Code::InvalidArgument));
    }
}

#[test]
fn nothing_of_it_is_written_before_every_release_knows_it() {
    let kinds = [account("u", 1), challenge("d", None), certificate("d", 1, 1)];
    assert!(kinds.iter().all(|kind| kind.needs_version() == 3));
    let name = WebKey::Certificate { domain: "d".to_owned() };
    assert_eq!(CommandKind::ResealWebKey { name, key: sealed(1), expected_term: 1 }.needs_version(), 3);
}
