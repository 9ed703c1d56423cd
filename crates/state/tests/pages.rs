//! Pages while records come and go: whoever stays from the first page to the last is returned exactly once.

mod common;

use common::{Replica, agent, bundle, create, entry, id};
use proptest::prelude::*;
use steeple_core::SpiffeId;
use steeple_state::view::{AgentFilter, EntryFilter, PageRequest, TokenError};
use steeple_state::{Attestation, CLUSTER_VERSION_AGENT_NUMBERS, CommandKind, State};

proptest! {
    #[test]
    fn entries_that_stay_are_seen_once(
        size in 1usize..5,
        deleted in prop::collection::vec(0usize..20, 0..6),
        added in prop::collection::vec(20usize..40, 0..6),
    ) {
        let mut replica = Replica::new();
        let named = |number: usize| entry(&format!("e{number:02}"), &format!("/w{number}"), "/p");
        replica.run(create((0..20).map(named)));
        let mut seen = Vec::new();
        let mut token = String::new();
        let mut writes = deleted.iter().zip(added.iter().map(Some).chain(std::iter::repeat(None)));
        loop {
            let request = PageRequest { size, token: &token };
            let page = replica.state.entries(&EntryFilter::default(), request).unwrap();
            prop_assert!(page.items.len() <= size);
            prop_assert_eq!(page.items.is_empty(), page.next.is_none());
            seen.extend(page.items.iter().map(|entry| entry.id.clone()));
            let Some(next) = page.next else { break };
            token = next;
            if let Some((gone, new)) = writes.next() {
                replica.run(CommandKind::DeleteEntries { ids: vec![format!("e{gone:02}")] });
                if let Some(new) = new {
                    replica.run(create([named(*new)]));
                }
            }
        }
        let mut once = seen.clone();
        once.sort();
        once.dedup();
        prop_assert_eq!(once.len(), seen.len());
        for stayed in (0..20).filter(|number| !deleted.contains(number)) {
            let stayed = format!("e{stayed:02}");
            prop_assert!(seen.contains(&stayed));
        }
    }
}

#[test]
fn tokens_that_were_never_given_out_are_refused() {
    let replica = Replica::new();
    let request = PageRequest { size: 2, token: "not a token" };
    let refused = TokenError("not a token".to_owned());
    assert_eq!(replica.state.entries(&EntryFilter::default(), request).unwrap_err(), refused);
    assert_eq!(replica.state.agents(&AgentFilter::default(), request).unwrap_err(), refused);
    assert_eq!(replica.state.federated_bundles(request).unwrap_err(), refused);
    assert_eq!(replica.state.relationships(request).unwrap_err(), refused);
    assert_eq!(refused.to_string(), "could not parse token 'not a token'");
    let signed = PageRequest { size: 2, token: "+1" };
    assert!(replica.state.entries(&EntryFilter::default(), signed).is_err());
    assert!(replica.state.agents(&AgentFilter::default(), signed).is_err());
    assert!(replica.state.federated_bundles(signed).is_err());
    let beyond = PageRequest { size: 2, token: "18446744073709551615" };
    assert_eq!(replica.state.agents(&AgentFilter::default(), beyond).unwrap().items, []);
}

#[test]
fn agents_come_in_the_order_of_their_first_attestation() {
    let mut replica = Replica::new();
    let attest = |replica: &mut Replica, name: &str| {
        let agent = agent(&format!("/spire/agent/{name}"), "1");
        replica.run(CommandKind::AttestAgent(Attestation { agent, join_token: None, first_use: false }));
    };
    for name in ["old-b", "old-a"] {
        attest(&mut replica, name);
    }
    replica.run(CommandKind::SetClusterVersion { version: CLUSTER_VERSION_AGENT_NUMBERS });
    for name in ["z", "again", "m", "z", "old-b"] {
        attest(&mut replica, name);
    }
    replica.run(CommandKind::DeleteAgent { id: id("/spire/agent/again") });
    attest(&mut replica, "again");

    let expected = ["old-a", "old-b", "z", "m", "again"].map(|name| id(&format!("/spire/agent/{name}")));
    for size in 1..=6 {
        assert_eq!(agents_in_pages(&replica.state, size), expected, "pages of {size}");
    }
    let reloaded = State::from_rows(replica.state.applied_index(), replica.state.rows()).unwrap();
    assert_eq!(agents_in_pages(&reloaded, 2), expected, "after a restart");
}

fn agents_in_pages(state: &State, size: usize) -> Vec<SpiffeId> {
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let page = state.agents(&AgentFilter::default(), PageRequest { size, token: &token }).unwrap();
        ids.extend(page.items.iter().map(|agent| agent.id.clone()));
        match page.next {
            Some(next) => token = next,
            None => return ids,
        }
    }
}

#[test]
fn agents_and_bundles_come_in_pages_too() {
    let mut replica = Replica::new();
    for name in ["one", "two", "three"] {
        let agent = agent(&format!("/spire/agent/{name}"), "1");
        replica.run(CommandKind::AttestAgent(Attestation { agent, join_token: None, first_use: false }));
        replica.run(CommandKind::SetBundles { bundles: vec![bundle(&format!("{name}.test")).into()] });
    }
    let names = agents_in_pages(&replica.state, 2);
    assert_eq!(names, [id("/spire/agent/one"), id("/spire/agent/three"), id("/spire/agent/two")]);

    let first = replica.state.federated_bundles(PageRequest { size: 2, token: "" }).unwrap();
    let second = replica.state.federated_bundles(PageRequest { size: 2, token: &first.next.unwrap() }).unwrap();
    let names: Vec<_> = first.items.iter().chain(&second.items).map(|bundle| bundle.trust_domain.name()).collect();
    assert_eq!(names, ["one.test", "two.test", "three.test"]);
}
