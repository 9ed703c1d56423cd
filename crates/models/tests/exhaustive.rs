//! Every state of every model; every planted fault.

use steeple_models::ban::Bans;
use steeple_models::join_token::JoinToken;
use steeple_models::node_id::NodeIds;
use steeple_models::rotation::Rotation;
use steeple_models::{Report, Scenario, check, hunt};

/// Keeps its promises everywhere, and comes to every situation that it was made for.
fn keeps_its_promises<S>() -> Report
where
    S: Scenario + Send + Sync + 'static,
    S::State: Send + Sync,
{
    let report = check::<S>();
    assert!(report.broken.is_empty(), "{}: {:#?}", report.name, report.broken);
    assert!(report.unreached.is_empty(), "{} never comes to: {:#?}", report.name, report.unreached);
    assert!(report.is_good(), "{} has no situations", report.name);
    report
}

/// Each fault breaks the promise that was made to break it.
fn finds_its_mutants<S>()
where
    S: Scenario + Send + Sync + 'static,
    S::State: Send + Sync,
{
    for mutant in S::MUTANTS {
        assert!(hunt::<S>(mutant).is_some(), "{}: nothing breaks with {mutant}", S::NAME);
    }
}

#[test]
fn a_join_token_lets_in_one_machine() {
    keeps_its_promises::<JoinToken>();
}

#[test]
fn join_token_mutants_are_found() {
    finds_its_mutants::<JoinToken>();
}

#[test]
fn a_banned_agent_is_given_nothing() {
    keeps_its_promises::<Bans>();
}

#[test]
fn ban_mutants_are_found() {
    finds_its_mutants::<Bans>();
}

#[test]
fn an_authority_signs_when_it_is_trusted() {
    keeps_its_promises::<Rotation>();
}

#[test]
fn rotation_mutants_are_found() {
    finds_its_mutants::<Rotation>();
}

#[test]
fn an_id_belongs_to_one_disk() {
    keeps_its_promises::<NodeIds>();
}

#[test]
fn node_id_mutants_are_found() {
    finds_its_mutants::<NodeIds>();
}
