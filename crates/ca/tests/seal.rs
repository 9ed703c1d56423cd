//! The sealing of private keys: what opens, what must not, and what the errors tell.

use aws_lc_rs::rand::SystemRandom;
use proptest::prelude::*;
use steeple_ca::seal::{
    Keyring, ProofRole, RecordType, SealError, SealedKeyring, SealingKey, SealingKeyError, prove, verify_proof,
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
    for hidden in [canary().expose(), sealing_key.to_file().expose()] {
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
    let new_key = new_key();
    let rewrapped = rotated.rewrap(&old_key, &new_key, &CLUSTER).unwrap();
    assert_eq!(rewrapped.sealing_key_id(), new_key.id().unwrap());
    assert!(matches!(rewrapped.open(&old_key, &CLUSTER), Err(SealError::WrongSealingKey { .. })));
    let keyring = rewrapped.open(&new_key, &CLUSTER).unwrap();
    assert_eq!(open(&keyring, RecordType::JwtKey, "a", &before).unwrap(), canary().expose());
    assert_eq!(keyring.seal(RecordType::JwtKey, "a", &canary()).unwrap().keyring_term, 2);
    assert_eq!(SealedKeyring::decode(&rewrapped.encode()).unwrap(), rewrapped);
}

#[test]
fn a_sealing_key_file_reads_back_and_damage_is_told() {
    let key = new_key();
    let file = String::from_utf8(key.to_file().expose().to_vec()).unwrap();
    assert_eq!(SealingKey::parse(&file).unwrap().id(), key.id());
    let windows = format!("\r\n{}", file.replace('\n', "\r\n"));
    assert_eq!(SealingKey::parse(&windows).unwrap().id(), key.id());
    let refusal = |file: &str| SealingKey::parse(file).unwrap_err();
    assert_eq!(refusal(""), SealingKeyError::NotASealingKey);
    assert_eq!(refusal("-----BEGIN PRIVATE KEY-----"), SealingKeyError::NotASealingKey);
    assert_eq!(refusal(&format!("{file}{file}")), SealingKeyError::NotASealingKey);
    assert_eq!(refusal("steeple-sealing-key-v1:AAAA"), SealingKeyError::Damaged);
    assert_eq!(refusal("steeple-sealing-key-v1:%"), SealingKeyError::Damaged);
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
        let versioned = [vec![1], bytes].concat();
        if let Ok(ring) = SealedKeyring::decode(&versioned) {
            prop_assert_eq!(ring.encode(), versioned);
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
