//! The cluster version: what may be written, and that it is written as the releases before would read it.

mod common;

use common::{Replica, agent, authority, cluster_init, member};
use steeple_core::{AuthorityKind, JoinToken, JwtAuthority, SealedKey, Timestamp};
use steeple_state::{
    Attestation, CLUSTER_VERSION_FIRST, CLUSTER_VERSION_LATER_EXPIRY, CLUSTER_VERSION_MAX,
    CLUSTER_VERSION_NEW_SEALING_KEY, CLUSTER_VERSION_RENEWAL, CLUSTER_VERSION_TOKEN_FRACTIONS, CLUSTER_VERSION_WIT,
    ClusterInit, Code, Command, CommandKind, DecodeError, NO_REQUEST, Outcome, State, Suffrage, Table, codec,
};

fn founded(version: u32) -> Replica {
    let mut replica = Replica::default();
    replica.run(CommandKind::InitCluster(Box::new(ClusterInit { version, ..cluster_init() })));
    replica
}

#[test]
fn it_only_rises() {
    let mut replica = founded(CLUSTER_VERSION_FIRST);
    let set = |version| CommandKind::SetClusterVersion { version };
    for version in [CLUSTER_VERSION_FIRST, CLUSTER_VERSION_LATER_EXPIRY, CLUSTER_VERSION_MAX, CLUSTER_VERSION_MAX] {
        assert_eq!(replica.run(set(version)), Outcome::Done);
        assert_eq!(replica.state.cluster_version(), version);
    }
    let refused = replica.run(set(CLUSTER_VERSION_FIRST));
    assert!(matches!(&refused, Outcome::Rejected(why) if why.code == Code::FailedPrecondition), "{refused:?}");
    assert_eq!(replica.state.cluster_version(), CLUSTER_VERSION_MAX);
}

#[test]
fn the_first_version_is_written_as_before_there_were_versions() {
    let row = |version| {
        let replica = founded(version);
        replica.rows.iter().find(|((table, _), _)| *table == Table::Cluster).map(|(_, value)| value.clone()).unwrap()
    };
    let raised = row(CLUSTER_VERSION_MAX);
    assert_eq!(raised.strip_prefix(&row(CLUSTER_VERSION_FIRST)[..]), Some(&[0x20, CLUSTER_VERSION_MAX as u8][..]));
    let members = |replica: &Replica| {
        let members = replica.rows.iter().filter(|((table, _), _)| *table == Table::Members);
        members.map(|(_, value)| value.len()).sum::<usize>()
    };
    let mut replica = founded(CLUSTER_VERSION_MAX);
    let before = members(&replica);
    replica.run(CommandKind::SetSuffrage { node_id: 1, suffrage: Suffrage::Standby });
    assert_eq!(members(&replica), before + 2);
    replica.run(CommandKind::SetSuffrage { node_id: 1, suffrage: Suffrage::Auto });
    assert_eq!(members(&replica), before);
}

#[test]
fn a_token_ends_with_its_second_from_the_fourth_version_on() {
    let attested = |version, late_ms| {
        let mut replica = founded(version);
        let token = JoinToken { value: "t".to_owned(), expires_at: replica.at.as_secs() + 5 };
        replica.run(CommandKind::CreateJoinToken { token, alias: None });
        replica.at = Timestamp::from_ms(replica.at.as_secs() * 1000 + 5000 + late_ms);
        let agent = agent("/spire/agent/join_token/t", "1");
        let join_token = Some("t".to_owned());
        replica.run(CommandKind::AttestAgent(Attestation { agent, join_token, first_use: false }))
    };
    let before = CLUSTER_VERSION_TOKEN_FRACTIONS - 1;
    for (version, late_ms) in [(before, 0), (before, 999), (CLUSTER_VERSION_TOKEN_FRACTIONS, 0)] {
        assert!(matches!(attested(version, late_ms), Outcome::Agent(_)), "version {version}, {late_ms} ms");
    }
    for (version, late_ms) in [(before, 1000), (CLUSTER_VERSION_TOKEN_FRACTIONS, 1)] {
        let refused = attested(version, late_ms);
        assert!(matches!(&refused, Outcome::Rejected(why) if why.message == "join token expired"), "{refused:?}");
    }
}

#[test]
fn authorities_for_wit_svids_have_a_version_of_their_own() {
    let needs = |kind: AuthorityKind| {
        let id = "a".to_owned();
        let key = SealedKey { keyring_term: 1, ciphertext: Vec::new() };
        let prepared = Box::new(authority(kind, "a"));
        [
            CommandKind::PrepareAuthority { authority: prepared, upstream_roots: Vec::new() },
            CommandKind::ActivateAuthority { kind, id: id.clone() },
            CommandKind::TaintAuthority { kind, id: id.clone() },
            CommandKind::RevokeAuthority { kind, id: id.clone() },
            CommandKind::ForgetAuthority { kind, id: id.clone() },
            CommandKind::ResealAuthority { kind, id, key, expected_term: 0 },
        ]
        .map(|command| command.needs_version())
    };
    for kind in [AuthorityKind::X509, AuthorityKind::Jwt] {
        assert_eq!(needs(kind), [CLUSTER_VERSION_FIRST; 6]);
        assert!(founded(CLUSTER_VERSION_FIRST).state.permits(kind));
    }
    assert_eq!(needs(AuthorityKind::Wit), [CLUSTER_VERSION_WIT; 6]);
    assert!(!founded(CLUSTER_VERSION_WIT - 1).state.permits(AuthorityKind::Wit));
    assert!(founded(CLUSTER_VERSION_WIT).state.permits(AuthorityKind::Wit));
}

#[test]
fn a_renewal_says_what_it_replaces_from_a_version_on() {
    let needs = |replaces: Option<&str>| {
        let (id, replaces) = (common::id("/spire/agent/a"), replaces.map(str::to_owned));
        CommandKind::SetPendingSerial { id, serial: "2".to_owned(), not_after: 5000, replaces }.needs_version()
    };
    assert_eq!([needs(None), needs(Some(""))], [CLUSTER_VERSION_FIRST, CLUSTER_VERSION_RENEWAL]);
}

#[test]
fn a_key_that_is_appended_again_is_held_until_the_later_end() {
    let ends = |version: u32, ends: &[i64]| {
        let mut replica = founded(version);
        for expires_at in ends {
            let key =
                JwtAuthority { public_key: vec![1], key_id: "k".to_owned(), expires_at: *expires_at, tainted: false };
            let append = CommandKind::AppendBundle { x509_authorities: Vec::new(), jwt_authorities: vec![key] };
            assert!(matches!(replica.run(append), Outcome::Bundle(_)));
        }
        let bundle = replica.state.own_bundle().expect("it was appended to").clone();
        assert_eq!(bundle.jwt_authorities.len(), 1);
        bundle.jwt_authorities[0].expires_at
    };
    assert_eq!(ends(CLUSTER_VERSION_LATER_EXPIRY - 1, &[100, 200]), 100, "as the releases before");
    let now = CLUSTER_VERSION_LATER_EXPIRY;
    for (told, end) in [(&[100, 200][..], 200), (&[200, 100], 200), (&[100, 0], 0), (&[0, 100], 0)] {
        assert_eq!(ends(now, told), end, "{told:?}");
    }
}

#[test]
fn a_new_sealing_key_needs_a_version_of_its_own() {
    let keyring = |form: u8| CommandKind::SetKeyring { content: vec![form, 0, 0], expected_revision: 1 };
    assert_eq!(keyring(1).needs_version(), CLUSTER_VERSION_FIRST, "a rotation as ever");
    assert_eq!(keyring(2).needs_version(), CLUSTER_VERSION_NEW_SEALING_KEY, "releases before could not open it");
    let replace = CommandKind::ReplaceSealingKey { content: vec![1], expected_revision: 1, held_by: vec![1] };
    assert_eq!(replace.needs_version(), CLUSTER_VERSION_NEW_SEALING_KEY);
}

#[test]
fn a_newer_version_stops_apply_and_start() {
    let newer = CLUSTER_VERSION_MAX + 1;
    let expected = Err(DecodeError::ClusterVersion { found: newer });
    let kind = CommandKind::SetClusterVersion { version: newer };
    let command = Command { request_id: NO_REQUEST, at: Timestamp::default(), actor: "test".to_owned(), kind };
    assert_eq!(codec::decode_commands(&codec::encode_commands(&[command])).map(drop), expected);
    let replica = founded(CLUSTER_VERSION_MAX);
    let rows = replica.rows.iter().map(|((table, key), value)| {
        let mut value = value.clone();
        if *table == Table::Cluster {
            *value.last_mut().unwrap() = newer as u8;
        }
        (*table, key.clone(), value)
    });
    assert_eq!(State::from_rows(1, rows).map(drop), expected);
}

#[test]
fn what_an_operator_decided_outlives_a_new_address() {
    let mut replica = founded(CLUSTER_VERSION_MAX);
    replica.run(CommandKind::SetSuffrage { node_id: 1, suffrage: Suffrage::Standby });
    replica.run(CommandKind::UpdateMember {
        node_id: 1,
        name: "node-1".to_owned(),
        peer_address: "elsewhere:8082".to_owned(),
        api_address: "elsewhere:8081".to_owned(),
    });
    assert_eq!(replica.state.member(1).map(|member| member.suffrage), Some(Suffrage::Standby));
    replica.run(CommandKind::AllocateMember { member: member(1) });
    assert_eq!(replica.state.member(1).map(|member| member.suffrage), Some(Suffrage::Standby));
}
