//! A backup read back, and everything that can be wrong with one.

use aws_lc_rs::rand::SystemRandom;
use steeple_api::steeple::backup as pb;
use steeple_ca::seal::{BackupCipher, BackupName, SealingKey};
use steeple_core::TrustDomain;
use steeple_state::{ClusterInit, Command, CommandKind, MemberFacts, NO_REQUEST, State};

use super::format::FEATURE_LEVEL;
use super::writer::BackupWriter;
use super::{BackupError, facts, open};

const CLUSTER: [u8; 16] = [7; 16];
const CANARY: &str = "canary.example.org";

fn key() -> SealingKey {
    SealingKey::generate(&SystemRandom::new()).unwrap()
}

fn state() -> State {
    let first = MemberFacts {
        storage_uuid: [1; 16],
        name: CANARY.to_owned(),
        peer_address: String::new(),
        api_address: String::new(),
    };
    let init = ClusterInit {
        cluster_uuid: CLUSTER,
        trust_domain: TrustDomain::from_name("example.org").unwrap(),
        keyring: b"keyring".to_vec(),
        peer_ca: b"peer ca".to_vec(),
        first,
        version: steeple_state::CLUSTER_VERSION_FIRST,
    };
    let mut state = State::new();
    let kind = CommandKind::InitCluster(Box::new(init));
    let at = steeple_core::Timestamp::from_secs(1_700_000_000);
    state.apply(9, &Command { request_id: NO_REQUEST, at, actor: "test".to_owned(), kind });
    state
}

fn written(state: &State, key: &SealingKey, feature_level: u32) -> Vec<u8> {
    let name = BackupName { cluster: &CLUSTER, id: "0b" };
    let (cipher, wrapped_key) = BackupCipher::create(key, name, &SystemRandom::new()).unwrap();
    let header = pb::Header {
        backup_id: vec![0x0b],
        cluster_uuid: CLUSTER.to_vec(),
        trust_domain: "example.org".to_owned(),
        applied_index: state.applied_index(),
        feature_level,
        sealing_key_id: key.id().unwrap(),
        wrapped_key,
        ..pb::Header::default()
    };
    let mut writer = BackupWriter::begin(Vec::new(), &header, cipher).unwrap();
    for (table, key, value) in state.rows() {
        writer.row(table, key, value).unwrap();
    }
    writer.finish().unwrap().0
}

#[test]
fn what_is_restored_is_what_was_saved() {
    let (state, key) = (state(), key());
    let file = written(&state, &key, FEATURE_LEVEL);
    let opened = open(&file[..], &key).unwrap();
    assert_eq!(opened.state, state);
    assert!(opened.facts.verified);

    let shown = facts(&file[..]).unwrap();
    assert_eq!(shown.trust_domain, "example.org");
    assert_eq!((shown.applied_index, shown.rows), (9, state.row_count()));
    assert_eq!(shown.state_hash, state.hash().to_string());
    assert_eq!(shown.size_bytes, file.len() as u64);
    let hidden = file.windows(CANARY.len()).all(|part| part != CANARY.as_bytes());
    assert!(hidden, "the file shows what is in it");
}

#[test]
fn any_flipped_byte_and_any_truncation_of_a_backup_is_found() {
    let (state, key) = (state(), key());
    let file = written(&state, &key, FEATURE_LEVEL);
    for at in 0..file.len() {
        let cut = facts(&file[..at]).unwrap_err();
        assert!(matches!(cut, BackupError::CutShort | BackupError::NotABackup), "cut at {at}: {cut}");
        let mut damaged = file.clone();
        damaged[at] ^= 1;
        assert!(open(&damaged[..], &key).is_err(), "byte {at} does not matter");
        assert!(facts(&damaged[..]).is_err(), "byte {at} does not matter without the key");
    }
    let longer = [&file[..], b"x"].concat();
    assert!(matches!(facts(&longer[..]), Err(BackupError::Damaged(_))));
}

#[test]
fn a_backup_names_the_sealing_key_that_it_needs() {
    let (state, right, wrong) = (state(), key(), key());
    let file = written(&state, &right, FEATURE_LEVEL);
    let refused = open(&file[..], &wrong).err().unwrap().to_string();
    assert!(refused.contains(&right.id().unwrap()) && refused.contains("-sealingKeyPath"), "{refused}");
}

#[test]
fn a_backup_of_a_newer_release_is_refused_by_name() {
    let (state, key) = (state(), key());
    let newer = written(&state, &key, FEATURE_LEVEL + 1);
    assert!(matches!(open(&newer[..], &key), Err(BackupError::NewerFeatures { .. })));
    let mut newer = written(&state, &key, FEATURE_LEVEL);
    newer[8] = 2;
    assert!(matches!(facts(&newer[..]), Err(BackupError::NewerFormat { found: 2 })));
}

#[test]
fn another_file_is_no_backup() {
    for other in [&b""[..], b"hello", b"STPLSNAP and more of it"] {
        assert!(matches!(facts(other), Err(BackupError::NotABackup)));
    }
}

/// With the hashes made right again, as somebody would who has no key.
#[test]
fn a_forged_footer_is_found_with_the_key() {
    let (state, key) = (state(), key());
    let file = written(&state, &key, FEATURE_LEVEL);
    let opened = open(&file[..], &key).unwrap();
    let forged = forge(&file, &opened.facts);
    assert!(facts(&forged[..]).is_ok());
    assert!(matches!(open(&forged[..], &key), Err(BackupError::Damaged(_))));
}

/// Says one entry more in the footer.
fn forge(file: &[u8], facts: &pb::Facts) -> Vec<u8> {
    use prost::Message as _;
    let summary = pb::Summary {
        chunks: 1,
        rows: facts.rows,
        entries: facts.entries + 1,
        agents: facts.agents,
        bundles: facts.bundles,
        federation_relationships: facts.federation_relationships,
        join_tokens: facts.join_tokens,
        state_hash: hex::decode(&facts.state_hash).unwrap(),
    };
    let sha256 = hex::decode(&facts.sha256).unwrap();
    let body = (0..file.len()).find(|end| super::format::sha256(&file[..*end])[..] == sha256[..]).unwrap();
    let footer = pb::Footer { summary: Some(summary), sha256, seal: vec![0; 16] }.encode_to_vec();
    let mut forged = file[..body].to_vec();
    forged.push(super::format::FOOTER);
    forged.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    forged.extend_from_slice(&super::format::sha256(&footer));
    forged.extend_from_slice(&footer);
    forged
}
