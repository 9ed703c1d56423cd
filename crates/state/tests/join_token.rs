//! Join tokens from the cluster version on in which they are written as digests: nobody reads one in the log or in the
//! store, and a client cannot tell the difference.

mod common;

use std::sync::Arc;

use common::{OWN, Replica, cluster_init, trust_domain};
use steeple_core::{AttestedAgent, Entry, JoinToken, Timestamp};
use steeple_state::{
    Attestation, CLUSTER_VERSION_MAX, CLUSTER_VERSION_TOKEN_DIGESTS, ClusterInit, Command, CommandKind, ImportRecord,
    ImportResult, NO_REQUEST, Outcome, Table, codec, join_token_digest,
};

/// Found nowhere by chance.
const TOKEN: &str = "canary-64ff3c1e";

fn founded(version: u32) -> Replica {
    let mut replica = Replica::default();
    replica.at = Timestamp::from_secs(1000);
    replica.run(CommandKind::InitCluster(Box::new(ClusterInit { version, ..cluster_init() })));
    replica
}

fn before() -> Replica {
    founded(CLUSTER_VERSION_TOKEN_DIGESTS - 1)
}

fn finalized(mut replica: Replica) -> Replica {
    replica.run(CommandKind::SetClusterVersion { version: CLUSTER_VERSION_TOKEN_DIGESTS });
    replica
}

fn digest(token: &str) -> String {
    join_token_digest(&trust_domain(OWN), token)
}

fn token(value: &str) -> JoinToken {
    JoinToken { value: value.to_owned(), expires_at: 2000 }
}

fn create(value: &str) -> CommandKind {
    CommandKind::CreateJoinToken { token: token(value), alias: None }
}

fn attest(value: &str) -> CommandKind {
    // An ID of its own, so that no token stands in it.
    let agent = AttestedAgent { attestation_type: "join_token".to_owned(), ..common::agent("/spire/agent/a", "1") };
    CommandKind::AttestAgent(Attestation { agent, join_token: Some(value.to_owned()), first_use: false })
}

fn import(value: &str) -> CommandKind {
    CommandKind::Import { records: vec![ImportRecord::JoinToken(token(value))] }
}

/// As the server proposes what its callers bring.
fn propose(replica: &mut Replica, kind: CommandKind) -> Outcome {
    let kind = kind.naming_join_tokens(&replica.state);
    replica.run(kind)
}

fn message(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rejected(why) => why.message.clone(),
        other => panic!("{other:?}"),
    }
}

fn imported(outcome: Outcome) -> ImportResult {
    match outcome {
        Outcome::Imported(mut results) => results.remove(0),
        other => panic!("{other:?}"),
    }
}

fn holds(bytes: &[u8], token: &str) -> bool {
    bytes.windows(token.len()).any(|part| part == token.as_bytes())
}

fn is_stored(replica: &Replica, token: &str) -> bool {
    replica.rows.iter().any(|((_, key), value)| holds(key, token) || holds(value, token))
}

/// The keys of the rows of join tokens.
fn stored(replica: &Replica) -> Vec<&str> {
    let rows = replica.rows.keys().filter(|(table, _)| *table == Table::JoinTokens);
    rows.map(|(_, key)| std::str::from_utf8(key).unwrap()).collect()
}

fn written(kind: CommandKind) -> Vec<u8> {
    codec::encode_commands(&[Command {
        request_id: NO_REQUEST,
        at: Timestamp::default(),
        actor: "test".to_owned(),
        kind,
    }])
}

#[test]
fn neither_log_nor_store_says_the_token() {
    let mut replica = founded(CLUSTER_VERSION_MAX);
    for kind in [create(TOKEN), attest(TOKEN), import(TOKEN)] {
        assert!(holds(&written(kind.clone()), TOKEN), "it is there to be found");
        assert!(!holds(&written(kind.naming_join_tokens(&replica.state)), TOKEN));
    }
    assert_eq!(propose(&mut replica, create(TOKEN)), Outcome::Done);
    assert_eq!(stored(&replica), [digest(TOKEN)]);
    assert_eq!(replica.state.join_token(TOKEN), Some(token(&digest(TOKEN))));
    assert!(!is_stored(&replica, TOKEN));
    assert!(replica.reloaded() == replica.state);
    assert!(matches!(propose(&mut replica, attest(TOKEN)), Outcome::Agent(_)));
    assert!(stored(&replica).is_empty() && !is_stored(&replica, TOKEN));
}

/// As SPIRE's clients ask for it: the alias is an entry below the agent, whose ID has the token.
#[test]
fn an_alias_says_the_token() {
    let mut replica = founded(CLUSTER_VERSION_MAX);
    let parent = format!("/spire/agent/join_token/{TOKEN}");
    let alias = Some(Arc::new(common::entry("alias", "/my-node", &parent)));
    propose(&mut replica, CommandKind::CreateJoinToken { token: token(TOKEN), alias });
    assert_eq!(stored(&replica), [digest(TOKEN)]);
    let saying = replica.rows.iter().filter(|((_, key), value)| holds(key, TOKEN) || holds(value, TOKEN));
    assert_eq!(saying.map(|((table, _), _)| *table).collect::<Vec<_>>(), [Table::Entries]);
}

/// Who reads a backup, and shows what stands in it, is no agent.
#[test]
fn a_digest_lets_nobody_in() {
    let mut replica = founded(CLUSTER_VERSION_MAX);
    propose(&mut replica, create(TOKEN));
    assert_eq!(replica.state.join_token(&digest(TOKEN)), None);
    let refused = propose(&mut replica, attest(&digest(TOKEN)));
    assert_eq!(message(&refused), "failed to attest: join token does not exist or has already been used");
    assert!(replica.state.join_token(TOKEN).is_some(), "and the token is not used up");
}

/// The same calls before and after: the same answers, whatever the form.
#[test]
fn a_client_cannot_tell_the_difference() {
    let calls = [
        (1000, create("")),
        (1000, create("a b")),
        (1000, create(TOKEN)),
        (1000, create(TOKEN)),
        (1000, create("late")),
        (1000, attest("unknown")),
        (1000, attest(TOKEN)),
        (1000, attest(TOKEN)),
        (1000, create(TOKEN)),
        (1000, import(TOKEN)),
        (1000, import("brought")),
        (1000, import("brought")),
        (1000, import("a b")),
        (1000, import("")),
        (1000, CommandKind::PruneJoinTokens { before: 1999 }),
        (2001, attest("late")),
        (2001, attest("late")),
        (2001, import("too-late")),
        (2001, CommandKind::PruneJoinTokens { before: 2001 }),
        (2001, attest("brought")),
    ];
    let (mut readable, mut hidden) = (before(), founded(CLUSTER_VERSION_TOKEN_DIGESTS));
    for (at, call) in calls {
        (readable.at, hidden.at) = (Timestamp::from_secs(at), Timestamp::from_secs(at));
        let told = propose(&mut readable, call.clone());
        assert_eq!(propose(&mut hidden, call.clone()), told, "{call:?}");
        let counts = |replica: &Replica| replica.state.count_join_tokens();
        assert_eq!(counts(&hidden), counts(&readable), "{call:?}");
    }
}

#[test]
fn a_token_from_before_keeps_its_form_until_it_is_used() {
    let mut replica = before();
    for value in [TOKEN, "other"] {
        assert_eq!(create(value).naming_join_tokens(&replica.state), create(value), "as the releases before");
        propose(&mut replica, create(value));
    }
    let mut replica = finalized(replica);
    assert_eq!(stored(&replica), [TOKEN, "other"]);
    assert_eq!(replica.state.join_token(TOKEN), Some(token(TOKEN)));
    let again = propose(&mut replica, create(TOKEN));
    assert!(message(&again).contains("UNIQUE constraint failed"), "{again:?}");
    assert_eq!(imported(propose(&mut replica, import(TOKEN))), ImportResult::Unchanged);
    assert!(matches!(propose(&mut replica, attest(TOKEN)), Outcome::Agent(_)));
    assert!(matches!(propose(&mut replica, attest(TOKEN)), Outcome::Rejected(_)));
    assert_eq!(stored(&replica), ["other"]);
    propose(&mut replica, CommandKind::PruneJoinTokens { before: 2001 });
    assert!(stored(&replica).is_empty());
}

/// A replica that lags names a token as before, and its command is applied behind the one that raised the version.
#[test]
fn what_was_on_its_way_when_the_version_rose_is_understood() {
    let late = before().state;
    let mut replica = finalized(before());
    assert_eq!(replica.run(create(TOKEN).naming_join_tokens(&late)), Outcome::Done);
    assert_eq!(stored(&replica), [digest(TOKEN)], "the store does not say it");
    let again = replica.run(create(TOKEN).naming_join_tokens(&late));
    assert!(message(&again).contains("UNIQUE constraint failed"), "{again:?}");
    assert!(matches!(replica.run(attest(TOKEN).naming_join_tokens(&late)), Outcome::Agent(_)));
    assert!(stored(&replica).is_empty());
    assert_eq!(imported(replica.run(import("brought").naming_join_tokens(&late))), ImportResult::Created);
    assert_eq!(stored(&replica), [digest("brought")]);
}

#[test]
fn a_used_token_is_not_imported_again() {
    let mut replica = founded(CLUSTER_VERSION_MAX);
    let came_by = |token: &str| ImportRecord::Agent(Box::new(common::agent(&agent_path(token), "1")));
    replica.run(CommandKind::Import { records: vec![came_by("t")] });
    let used = ImportResult::Kept("it has been used".to_owned());
    assert_eq!(replica.state.import_result(&ImportRecord::JoinToken(token("t"))), used, "a dry run");
    assert_eq!(imported(propose(&mut replica, import("t"))), used);
    // An agent that comes along with its token counts as well.
    let both = CommandKind::Import { records: vec![came_by("u"), ImportRecord::JoinToken(token("u"))] };
    let Outcome::Imported(results) = propose(&mut replica, both) else { panic!("no results") };
    assert_eq!(results[1], used);
    assert_eq!(imported(propose(&mut replica, import("fresh"))), ImportResult::Created);
    let other = ImportRecord::JoinToken(JoinToken { expires_at: 3000, ..token("fresh") });
    let conflict = propose(&mut replica, CommandKind::Import { records: vec![other] });
    assert!(imported(conflict).is_conflict());
    assert_eq!(stored(&replica), [digest("fresh")]);
}

fn agent_path(token: &str) -> String {
    format!("/spire/agent/join_token/{token}")
}

/// A retry comes with the command of the first try, or with one that another replica named anew.
#[test]
fn a_retry_is_answered_as_the_first_try_whatever_the_form() {
    let mut replica = founded(CLUSTER_VERSION_MAX);
    let requested = |number: u8, kind| Command {
        request_id: [number; 16],
        at: Timestamp::from_secs(1000),
        actor: "test".to_owned(),
        kind,
    };
    for (number, call) in [(1, create(TOKEN)), (2, attest(TOKEN))] {
        let first = replica.apply(&requested(number, call.clone().naming_join_tokens(&replica.state))).outcome;
        let hash = replica.state.hash();
        assert!(!matches!(first, Outcome::Rejected(_)), "{first:?}");
        for again in [call.clone(), call.naming_join_tokens(&replica.state)] {
            assert_eq!(replica.apply(&requested(number, again)).outcome, first);
            assert_eq!(replica.state.hash(), hash);
        }
    }
}

/// An entry of an operator's own is what it says, as ever.
#[test]
fn other_commands_are_left_alone() {
    let replica = founded(CLUSTER_VERSION_MAX);
    let entry = Entry { hint: TOKEN.to_owned(), ..common::entry("e", "/w", &agent_path(TOKEN)) };
    for kind in [common::create([entry]), CommandKind::Noop, CommandKind::ResetClock] {
        assert_eq!(kind.clone().naming_join_tokens(&replica.state), kind);
    }
}
