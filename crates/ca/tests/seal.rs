//! The sealing of private keys: what opens, what must not, and what the errors tell.

use aws_lc_rs::rand::SystemRandom;
use proptest::prelude::*;
use steeple_ca::seal::{
    KeyFile, KeyFileError, Keyring, NextSealingKey, ProofRole, RecordType, SealError, SealedKeyring, SealingKey,
    WrappedKey, prove, verify_proof,
};
use steeple_core::{SealedKey, Secret};

const CLUSTER: [u8; 16] = [1; 16];
const OTHER_CLUSTER: [u8; 16] = [2; 16];

#[test]
fn a_key_survives_sealing_storing_and_opening() {
    let sealing_key = new_key();
    let stored = SealedKeyring::create(&sealing_key, &CLUSTER, &SystemRandom::new()).unwrap().encode();
    let keyring = SealedKeyring::decode(&stored).unwrap().open(&sealing_key, &CLUSTER).unwrap();
    let sealed = keyring.seal(RecordType::X509CaKey, "id", &canary()).unwrap();
    assert_eq!(sealed.keyring_term, 1);
    assert_eq!(open(&keyring, RecordType::X509CaKey, "id", &sealed).unwrap(), canary().expose());
    for hidden in [canary().expose(), sealing_key.secret().expose()] {
        assert!(!contains(&sealed.ciphertext, hidden) && !contains(&stored, hidden));
    }
    let again = keyring.seal(RecordType::X509CaKey, "id", &canary()).unwrap();
    assert_ne!(sealed.ciphertext, again.ciphertext, "nonces are random");
}

#[test]
fn an_envelope_opens_only_in_its_own_place() {
    let (sealing_key, ring) = new_ring();
    let keyring = ring.open(&sealing_key, &CLUSTER).unwrap();
    let sealed = keyring.seal(RecordType::JwtKey, "a", &canary()).unwrap();
    let altered = |what| Err(SealError::Altered { what });
    assert_eq!(open(&keyring, RecordType::JwtKey, "b", &sealed), altered("JWT key"));
    assert_eq!(open(&keyring, RecordType::X509CaKey, "a", &sealed), altered("X.509 CA key"));
    let unknown = SealedKey { keyring_term: 9, ..sealed.clone() };
    assert_eq!(open(&keyring, RecordType::JwtKey, "a", &unknown), Err(SealError::UnknownTerm { term: 9 }));
    for at in [1, sealed.ciphertext.len() - 1] {
        let mut flipped = sealed.clone();
        flipped.ciphertext[at] ^= 1;
        assert_eq!(open(&keyring, RecordType::JwtKey, "a", &flipped), altered("JWT key"));
    }
    let mut newer = sealed.clone();
    newer.ciphertext[0] = 2;
    assert_eq!(open(&keyring, RecordType::JwtKey, "a", &newer), Err(SealError::UnknownVersion(2)));
    let empty = SealedKey { ciphertext: vec![], ..sealed };
    assert_eq!(open(&keyring, RecordType::JwtKey, "a", &empty), Err(SealError::Malformed("empty envelope")));
}

#[test]
fn the_wrong_sealing_key_is_named() {
    let (sealing_key, ring) = new_ring();
    let other = new_key();
    let error = ring.open(&other, &CLUSTER).unwrap_err();
    let (expected, actual) = (sealing_key.id().unwrap(), other.id().unwrap());
    assert_eq!(error, SealError::WrongSealingKey { expected: expected.clone(), actual: actual.clone() });
    let text = error.to_string();
    assert!(text.contains(&expected) && text.contains(&actual) && text.contains("sealing key file"), "{text}");
    assert_eq!(ring.open(&sealing_key, &OTHER_CLUSTER).unwrap_err(), SealError::ForeignKeyring);
}

#[test]
fn rotating_and_rewrapping_keep_what_was_sealed_before() {
    let (old_key, ring) = new_ring();
    let before = ring.open(&old_key, &CLUSTER).unwrap().seal(RecordType::JwtKey, "a", &canary()).unwrap();
    let rotated = ring.rotate(&old_key, &CLUSTER, &SystemRandom::new()).unwrap();
    assert_eq!(rotated.terms().collect::<Vec<_>>(), [1, 2]);
    // The root key is new too: nothing of the old keyring is in the new one.
    let old_wrappings = ring.encode();
    assert!(!contains(&rotated.encode(), &old_wrappings[old_wrappings.len() - 32..]));
    let new_key = new_key();
    let rewrapped = rotated.rewrap(&old_key, &new_key, &CLUSTER).unwrap();
    assert_eq!(rewrapped.sealing_key_id(), new_key.id().unwrap());
    assert!(matches!(rewrapped.open(&old_key, &CLUSTER), Err(SealError::WrongSealingKey { .. })));
    let keyring = rewrapped.open(&new_key, &CLUSTER).unwrap();
    assert_eq!(open(&keyring, RecordType::JwtKey, "a", &before).unwrap(), canary().expose());
    assert_eq!(keyring.seal(RecordType::JwtKey, "a", &canary()).unwrap().keyring_term, 2);
    assert_eq!(SealedKeyring::decode(&rewrapped.encode()).unwrap(), rewrapped);
    let newest = rewrapped.without_older();
    assert_eq!((newest.newest_term(), newest.terms().collect::<Vec<_>>()), (2, vec![2]));
    let keyring = newest.open(&new_key, &CLUSTER).unwrap();
    assert_eq!(open(&keyring, RecordType::JwtKey, "a", &before), Err(SealError::UnknownTerm { term: 1 }));
    let next = newest.rotate(&new_key, &CLUSTER, &SystemRandom::new()).unwrap();
    assert_eq!(next.terms().collect::<Vec<_>>(), [2, 3], "terms are never used again");
}

#[test]
fn a_sealing_key_to_come_is_named_and_gone_with_the_change() {
    let (old_key, ring) = new_ring();
    let new_key = new_key();
    let offered = NextSealingKey::Offered(new_key.id().unwrap());
    for next in [NextSealingKey::Wanted, offered.clone()] {
        let changing = ring.with_next(Some(next.clone()));
        assert_eq!(changing.next(), Some(&next));
        assert_eq!(SealedKeyring::decode(&changing.encode()).unwrap(), changing);
        assert!(changing.open(&old_key, &CLUSTER).is_ok(), "the one in force opens it as before");
        assert_eq!(changing.rotate(&old_key, &CLUSTER, &SystemRandom::new()).unwrap().next(), Some(&next));
        assert_eq!(changing.with_next(None).encode(), ring.encode(), "given up, it is as it was");
        assert!(!contains(&changing.encode(), new_key.secret().expose()));
    }
    let replaced = ring.with_next(Some(offered)).rewrap(&old_key, &new_key, &CLUSTER).unwrap();
    assert_eq!((replaced.next(), replaced.encode()[0]), (None, ring.encode()[0]), "releases before can read it");
    assert!(replaced.open(&new_key, &CLUSTER).is_ok());

    let mut encoded = ring.with_next(Some(NextSealingKey::Offered("0123456789abcdef".to_owned()))).encode();
    encoded[3] = b'G';
    assert_eq!(SealedKeyring::decode(&encoded), Err(SealError::Malformed("id of the next sealing key")));
}

#[test]
fn a_sealing_key_file_reads_back_and_damage_is_told() {
    let id = |file: &str| match KeyFile::parse(file) {
        Ok(KeyFile::Plain(key)) => key.id().unwrap(),
        other => panic!("{other:?}"),
    };
    let key = new_key();
    let expected = key.id().unwrap();
    let file = String::from_utf8(KeyFile::Plain(key).to_file().expose().to_vec()).unwrap();
    assert_eq!(id(&file), expected);
    let windows = format!("\r\n{}", file.replace('\n', "\r\n"));
    assert_eq!(id(&windows), expected);
    let refusal = |file: &str| KeyFile::parse(file).unwrap_err();
    assert_eq!(refusal(""), KeyFileError::NotASealingKey);
    assert_eq!(refusal("-----BEGIN PRIVATE KEY-----"), KeyFileError::NotASealingKey);
    assert_eq!(refusal(&format!("{file}{file}")), KeyFileError::NotASealingKey);
    assert_eq!(refusal("steeple-sealing-key-v1:AAAA"), KeyFileError::Damaged);
    assert_eq!(refusal("steeple-sealing-key-v1:%"), KeyFileError::Damaged);
}

#[test]
fn a_wrapped_key_file_reads_back_and_damage_is_told() {
    let wrapped = WrappedKey { kind: "transit".into(), key_id: "0123456789abcdef".into(), ciphertext: vec![1, 2] };
    let file = String::from_utf8(KeyFile::Wrapped(wrapped.clone()).to_file().expose().to_vec()).unwrap();
    assert!(matches!(KeyFile::parse(&file), Ok(KeyFile::Wrapped(read)) if read == wrapped), "{file}");
    for damage in ["", "transit", "transit:0:", "transit::AAAA", ":0:AAAA", "transit:0:%", "a b:0:AAAA"] {
        let damaged = format!("steeple-wrapped-sealing-key-v1:{damage}");
        assert_eq!(KeyFile::parse(&damaged).unwrap_err(), KeyFileError::WrappedDamaged, "{damage}");
    }
}

#[test]
fn what_a_seal_opens_is_compared_with_what_the_file_says() {
    let (key, other) = (new_key(), new_key());
    let key_id = key.id().unwrap();
    let wrapped = WrappedKey { kind: "transit".into(), key_id: key_id.clone(), ciphertext: vec![1] };
    assert_eq!(wrapped.believe(key.secret().duplicate()).unwrap().id().unwrap(), key_id);
    let refused = wrapped.believe(other.secret().duplicate()).unwrap_err();
    assert_eq!(refused, SealError::AnotherKeyUnwrapped { expected: key_id, actual: other.id().unwrap() });
    assert!(matches!(wrapped.believe(Secret::new(vec![0; 31])), Err(SealError::Malformed(_))));
    let bound = |kind, id| WrappedKey::associated(kind, id);
    assert_ne!(bound("transit", "ab"), bound("pkcs11", "ab"));
    assert_ne!(bound("transit", "ab"), bound("transit", "ac"));
}

#[test]
fn nothing_secret_is_printed() {
    let (sealing_key, ring) = new_ring();
    let keyring = ring.open(&sealing_key, &CLUSTER).unwrap();
    assert_eq!(format!("{sealing_key:?} {keyring:?}"), "SealingKey(Secret(…)) Keyring(terms [1])");
}

#[test]
fn possession_is_proven_per_connection_and_role() {
    let (key, other) = (new_key(), new_key());
    let proof = prove(&key, ProofRole::Joiner, b"connection 1").unwrap();
    let verify = |key, role, connection: &[u8], proof: &[u8]| verify_proof(key, role, connection, proof).unwrap();
    assert!(verify(&key, ProofRole::Joiner, b"connection 1", &proof));
    assert!(!verify(&key, ProofRole::Member, b"connection 1", &proof), "reflected");
    assert!(!verify(&key, ProofRole::Joiner, b"connection 2", &proof), "relayed");
    assert!(!verify(&other, ProofRole::Joiner, b"connection 1", &proof), "another key");
    assert!(!verify(&key, ProofRole::Joiner, b"connection 1", &proof[..31]), "cut off");
    assert!(!verify(&key, ProofRole::Joiner, b"connection 1", b""), "empty");
}

proptest! {
    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = SealedKeyring::decode(&bytes);
        let _ = KeyFile::parse(&format!("steeple-wrapped-sealing-key-v1:{}", String::from_utf8_lossy(&bytes)));
        for version in [1, 2] {
            let versioned = [vec![version], bytes.clone()].concat();
            if let Ok(ring) = SealedKeyring::decode(&versioned) {
                prop_assert_eq!(ring.encode(), versioned);
            }
        }
    }

    /// Whatever is changed in a stored keyring, it opens to the same keys or not at all.
    #[test]
    fn no_change_to_a_keyring_goes_unnoticed(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (sealing_key, ring) = new_ring();
        let sealed = ring.open(&sealing_key, &CLUSTER).unwrap().seal(RecordType::JwtKey, "a", &canary()).unwrap();
        let mut bytes = ring.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(keyring) = SealedKeyring::decode(&bytes).and_then(|ring| ring.open(&sealing_key, &CLUSTER)) {
            let opened = open(&keyring, RecordType::JwtKey, "a", &sealed).unwrap();
            prop_assert_eq!(opened, canary().expose().to_vec());
        }
    }
}

fn new_key() -> SealingKey {
    SealingKey::generate(&SystemRandom::new()).unwrap()
}

fn new_ring() -> (SealingKey, SealedKeyring) {
    let key = new_key();
    let ring = SealedKeyring::create(&key, &CLUSTER, &SystemRandom::new()).unwrap();
    (key, ring)
}

fn canary() -> Secret {
    Secret::new(b"canary in a coal mine".to_vec())
}

fn open(keyring: &Keyring, record: RecordType, id: &str, sealed: &SealedKey) -> Result<Vec<u8>, SealError> {
    keyring.open(record, id, sealed).map(|secret| secret.expose().to_vec())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
