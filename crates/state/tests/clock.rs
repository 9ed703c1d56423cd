//! A replicated clock that ran ahead, and its way back.

mod common;

use common::{Replica, authority};
use steeple_core::{AuthorityKind, AuthorityStatus, JoinToken, Timestamp};
use steeple_state::limits::{CLOCK_SKEW_MAX, PRUNE_ITEMS_MAX};
use steeple_state::view::{ClockReset, Ending, EndingAuthority};
use steeple_state::{CommandKind, Outcome};

const X509: AuthorityKind = AuthorityKind::X509;
const NOW: Timestamp = Timestamp::from_secs(1_000);
const AHEAD: Timestamp = Timestamp::from_secs(9_000);

fn token(number: u32) -> CommandKind {
    let token = JoinToken { value: format!("t{number}"), expires_at: NOW.as_secs() + 600 };
    CommandKind::CreateJoinToken { token, alias: None }
}

fn prepare(replica: &mut Replica, kind: AuthorityKind, id: &str, issued_at: Timestamp) {
    let mut authority = authority(kind, id);
    authority.issued_at = issued_at;
    replica.run(CommandKind::PrepareAuthority { authority: Box::new(authority), upstream_roots: Vec::new() });
}

fn activate(replica: &mut Replica, kind: AuthorityKind, id: &str) {
    replica.run(CommandKind::ActivateAuthority { kind, id: id.to_owned() });
}

/// The clock was at 9,000 s for a while, and is right again.
fn ran_ahead() -> Replica {
    let mut replica = Replica::new();
    prepare(&mut replica, AuthorityKind::Jwt, "j", NOW);
    activate(&mut replica, AuthorityKind::Jwt, "j");
    replica.at = AHEAD;
    prepare(&mut replica, X509, "a", AHEAD);
    activate(&mut replica, X509, "a");
    prepare(&mut replica, X509, "b", AHEAD);
    replica.at = NOW;
    replica
}

#[test]
fn a_clock_that_is_not_ahead_is_left_alone() {
    let mut replica = Replica::new();
    let Outcome::Rejected(why) = replica.run(CommandKind::ResetClock) else { panic!("it is right") };
    assert_eq!(why.code.number(), 9);
    // As far as the replicas' clocks may differ.
    replica.at = Timestamp::from_secs(1_010);
    replica.run(CommandKind::Noop);
    replica.at = NOW;
    assert!(matches!(replica.run(CommandKind::ResetClock), Outcome::Rejected(_)));
    assert_eq!(replica.state.now(), Timestamp::from_secs(1_010));
}

#[test]
fn it_says_what_the_leader_says_and_runs_on_from_there() {
    let mut replica = ran_ahead();
    replica.run(CommandKind::Noop);
    assert_eq!(replica.state.now(), AHEAD, "by itself it never runs backwards");
    assert_eq!(replica.run(CommandKind::ResetClock), Outcome::Pruned { items: 0, more: false });
    assert_eq!(replica.state.now(), NOW);
    assert!(replica.reloaded() == replica.state);
    replica.at = Timestamp::from_secs(900);
    replica.run(CommandKind::Noop);
    assert_eq!(replica.state.now(), NOW);
}

#[test]
fn tokens_are_void_before_the_clock_is_right_so_many_at_a_time() {
    let mut replica = ran_ahead();
    for number in 0..=PRUNE_ITEMS_MAX {
        replica.run(token(number));
    }
    assert_eq!(replica.run(CommandKind::ResetClock), Outcome::Pruned { items: PRUNE_ITEMS_MAX, more: true });
    assert_eq!(replica.state.now(), AHEAD);
    assert_eq!(replica.run(CommandKind::ResetClock), Outcome::Pruned { items: 1, more: false });
    assert_eq!((replica.state.count_join_tokens(), replica.state.now()), (0, NOW));
}

#[test]
fn what_was_made_in_a_time_that_has_not_come_is_replaced() {
    let mut replica = ran_ahead();
    replica.run(CommandKind::ResetClock);
    let set = replica.state.authorities(X509);
    assert!(set.active.as_ref().is_some_and(|active| active.id == "a" && active.restored), "a successor is due");
    assert_eq!(set.next, None, "what was prepared begins as late");
    let published = &replica.state.own_bundle().unwrap().x509_authorities;
    assert_eq!(published.len(), 2, "who trusts them goes on to");
    assert!(!replica.state.active_authority(AuthorityKind::Jwt).unwrap().restored, "it was made in time");
}

/// Whoever asks beforehand is told what happens.
#[test]
fn what_is_foretold_is_what_ends() {
    let mut replica = ran_ahead();
    replica.at = AHEAD;
    prepare(&mut replica, AuthorityKind::Jwt, "k", AHEAD);
    replica.at = NOW;
    replica.run(token(1));
    let foretold = replica.state.clock_reset(NOW);
    let ending = |kind, id: &str, ending| EndingAuthority { kind, id: id.to_owned(), ending };
    let authorities = vec![
        ending(X509, "a", Ending::Succeeded),
        ending(X509, "b", Ending::Dropped),
        ending(AuthorityKind::Jwt, "k", Ending::Dropped),
    ];
    assert_eq!(foretold, ClockReset { ahead: true, join_tokens: 1, authorities: authorities.clone() });

    let mut before = replica.clone();
    assert_eq!(replica.run(CommandKind::ResetClock), Outcome::Pruned { items: 1, more: false });
    for kind in AuthorityKind::ALL {
        let (was, is) = (before.state.authorities(kind), replica.state.authorities(kind));
        let ends = |id: &str, how| authorities.contains(&ending(kind, id, how));
        let mut expected = was.clone();
        if let Some(active) = &mut expected.active {
            active.restored |= ends(&active.id, Ending::Succeeded);
        }
        expected.next = expected.next.filter(|next| !ends(&next.id, Ending::Dropped));
        assert_eq!(*is, expected, "{kind:?}");
    }
    assert_eq!(replica.state.clock_reset(NOW), ClockReset::default(), "and then nothing is ahead");

    // As far as the replicas' clocks may differ there is nothing to tell, and nothing to do.
    for (late_ms, ahead) in [(0, false), (1, true)] {
        before.at = Timestamp::from_ms(AHEAD.as_ms() - CLOCK_SKEW_MAX.as_millis() as i64 - late_ms);
        assert_eq!(before.state.clock_reset(before.at).ahead, ahead);
        assert_eq!(before.run(CommandKind::ResetClock) == Outcome::Pruned { items: 1, more: false }, ahead);
    }
}

#[test]
fn an_old_authority_stays_old() {
    let mut replica = ran_ahead();
    activate(&mut replica, X509, "b");
    replica.run(CommandKind::ResetClock);
    let set = replica.state.authorities(X509);
    assert_eq!(set.next.as_ref().map(|old| (old.id.as_str(), old.status)), Some(("a", AuthorityStatus::Old)));
}
