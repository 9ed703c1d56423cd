//! The formats: what is written today must be readable for all time, and what is not known must not be skipped.

mod common;

use common::{Replica, cluster_init, create, entry, id};
use steeple_core::Timestamp;
use steeple_state::limits::COMMANDS_BYTES_MAX;
use steeple_state::{Command, CommandKind, DecodeError, State, Table, codec};

fn command(kind: CommandKind) -> Command {
    Command { request_id: [1; 16], at: Timestamp::from_secs(1000), actor: "local".to_owned(), kind }
}

/// If this fails, the format changed: raise the version and add a migration, do not change the bytes.
#[test]
fn the_bytes_of_version_1_stay() {
    let ban = command(CommandKind::BanAgent { id: id("/spire/agent/a") });
    let expected = "01\
        0a42\
        0a1001010101010101010101010101010101\
        1080897a\
        1a056c6f63616c\
        9a0122\
        7370696666653a2f2f6578616d706c652e6f72672f73706972652f6167656e742f61";
    assert_eq!(hex(&codec::encode_commands(&[ban])), expected);
}

#[test]
fn a_list_of_no_commands_is_a_version_byte() {
    assert_eq!(codec::encode_commands(&[]), [codec::FORMAT_VERSION]);
    assert_eq!(codec::decode_commands(&[codec::FORMAT_VERSION]), Ok(Vec::new()));
}

#[test]
fn truncated_entries_are_refused() {
    let bytes = codec::encode_commands(&[command(create([entry("e1", "/a", "/p")]))]);
    assert_eq!(codec::decode_commands(&[]), Err(DecodeError::Empty));
    for len in 2..bytes.len() {
        assert!(matches!(codec::decode_commands(&bytes[..len]), Err(DecodeError::Damaged { .. })), "{len}");
    }
}

#[test]
fn a_newer_version_is_refused() {
    let mut bytes = codec::encode_commands(&[command(CommandKind::Noop)]);
    bytes[0] = 2;
    assert_eq!(codec::decode_commands(&bytes), Err(DecodeError::UnknownVersion { found: 2, known: 1 }));
}

#[test]
fn an_unknown_kind_of_command_stops_apply() {
    let noop = codec::encode_commands(&[command(CommandKind::Noop)]);
    // The kind is the last field: tag 10, length-delimited, empty. 2047 is a tag that no version has.
    let mut newer = noop[..noop.len() - 2].to_vec();
    newer.extend([0xfa, 0x7f, 0x00]);
    newer[2] += 1;
    assert_eq!(codec::decode_commands(&newer), Err(DecodeError::UnknownCommand));
}

#[test]
fn an_unknown_field_of_a_known_command_stops_apply() {
    let noop = codec::encode_commands(&[command(CommandKind::Noop)]);
    let mut newer = noop;
    newer.extend([0xfa, 0x7f, 0x00]);
    newer[2] += 3;
    assert_eq!(codec::decode_commands(&newer), Err(DecodeError::UnknownContent));
}

#[test]
fn oversized_entries_are_refused_before_decoding() {
    let bytes = vec![codec::FORMAT_VERSION; COMMANDS_BYTES_MAX + 1];
    let expected = DecodeError::TooLong { bytes: COMMANDS_BYTES_MAX + 1, bytes_max: COMMANDS_BYTES_MAX };
    assert_eq!(codec::decode_commands(&bytes), Err(expected));
}

#[test]
fn a_row_under_a_wrong_key_is_found() {
    let mut replica = Replica::new();
    replica.run(create([entry("e1", "/a", "/p")]));
    let rows = replica.rows.iter().map(|((table, key), value)| {
        let mut key = key.clone();
        if *table == Table::Entries {
            key[7] += 1;
        }
        (*table, key, value.clone())
    });
    assert_eq!(State::from_rows(1, rows), Err(DecodeError::WrongKey { table: Table::Entries }));
}

#[test]
fn damaged_rows_are_found() {
    let replica = Replica::new();
    for damaged in replica.rows.keys() {
        let rows = replica.rows.iter().map(|((table, key), value)| {
            let cut = usize::from((*table, key) == (damaged.0, &damaged.1));
            (*table, key.clone(), value[..value.len() - cut].to_vec())
        });
        assert!(State::from_rows(1, rows).is_err(), "{damaged:?}");
    }
}

#[test]
fn secrets_are_not_in_debug_texts() {
    let token = steeple_core::JoinToken { value: "canary".to_owned(), expires_at: 1 };
    let attestation = steeple_state::Attestation {
        agent: common::agent("/spire/agent/a", "1"),
        join_token: Some("canary".to_owned()),
        first_use: false,
    };
    let init = steeple_state::ClusterInit { keyring: b"canary".to_vec(), ..cluster_init() };
    for kind in [
        CommandKind::CreateJoinToken { token, alias: None },
        CommandKind::AttestAgent(attestation),
        CommandKind::InitCluster(Box::new(init)),
    ] {
        let text = format!("{:?}", command(kind));
        assert!(!text.contains("canary") && !text.contains("99, 97, 110, 97, 114, 121"), "{text}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
