//! From facts to hops. Pure.

use steeple_api::types::Entry;
use steeple_cli::utc_time;

use super::facts::{Facts, Lineage};
use super::hop::{Explanation, Hop, Way};
use super::parents::{agent, parents};
use super::subject::Subject;
use crate::cli::selectors::{id_text, selector_text, selector_texts};

pub(super) fn explain(subject: &Subject, facts: &Facts) -> Explanation {
    let spiffe_id = if let Subject::Id(id) = subject { id.to_string() } else { String::new() };
    let without_entry = |hops| vec![Way { entry_id: String::new(), spiffe_id: spiffe_id.clone(), hops }];
    let ways = if facts.status.leader_id == 0 {
        without_entry(vec![replica(facts)])
    } else if let Some(record) = &facts.agent {
        without_entry(vec![replica(facts), agent(facts, &spiffe_id, record.as_ref())])
    } else if facts.lineages.is_empty() {
        without_entry(vec![replica(facts), nothing(subject, facts)])
    } else {
        facts.lineages.iter().map(|lineage| way(facts, lineage)).collect()
    };
    Explanation { subject: subject.to_string(), whole: ways.iter().any(Way::is_whole), ways }
}

fn way(facts: &Facts, lineage: &Lineage) -> Way {
    let entry = &lineage.entry;
    let mut hops = vec![replica(facts), selectors(facts, entry), entry_hop(facts, entry)];
    hops.extend(parents(facts, lineage));
    let domains = entry.federates_with.iter().filter(|domain| facts.missing_bundles.contains(*domain));
    hops.extend(domains.map(|domain| {
        let text = format!("there is no bundle of {domain}, with which the entry federates: its peers do not verify");
        Hop::doubtful("bundle", text, format!("steeple-server bundle set -id spiffe://{domain} -path BUNDLE.PEM"))
    }));
    Way { entry_id: entry.id.clone(), spiffe_id: id_text(entry.spiffe_id.as_ref()), hops }
}

/// No entry is there at all.
fn nothing(subject: &Subject, facts: &Facts) -> Hop {
    let create = |id: &str, selectors: &str| {
        format!("steeple-server entry create -parentID AGENT_OR_NODE_ID -spiffeID {id} {selectors}")
    };
    match subject {
        Subject::Entry(id) => Hop::broken("entry", format!("there is no entry {id:?}"), "steeple-server entry show"),
        Subject::Id(id) => {
            Hop::broken("entry", format!("no entry grants {id}"), create(id.as_str(), "-selector TYPE:VALUE"))
        }
        Subject::Process(pid) => {
            let has = facts.selectors.as_deref().unwrap_or_default();
            let text = format!(
                "every entry asks for a selector that process {pid} has not; it has {}, and what the k8s and docker \
                 attestors of its agent may add",
                selector_texts(has)
            );
            let first =
                has.first().map(|selector| format!("-selector {}", selector_text(selector))).unwrap_or_default();
            Hop::broken("selectors", text, create("SPIFFE_ID", &first))
        }
    }
}

fn replica(facts: &Facts) -> Hop {
    let status = &facts.status;
    let own = status.members.iter().find(|member| member.node_id == status.node_id);
    let lag = own.map_or(0, |member| member.lag);
    let mend = "steeple-server cluster status";
    if status.leader_id == 0 {
        let text = "no replica leads: nothing is signed, and changes are refused";
        return Hop::broken("replica", text, mend);
    }
    let text = format!("replica {} answers, replica {} leads", status.node_id, status.leader_id);
    if lag > 0 {
        return Hop::doubtful("replica", format!("{text}; it is {lag} log records behind"), mend);
    }
    Hop::whole("replica", text)
}

fn selectors(facts: &Facts, entry: &Entry) -> Hop {
    let wanted = selector_texts(&entry.selectors);
    match &facts.selectors {
        Some(_) => Hop::whole("selectors", format!("the process has {wanted}")),
        None if matches!(entry.parent_id.as_ref(), Some(id) if id.path == "/spire/server") => {
            Hop::whole("selectors", format!("for nodes whose attestation gives {wanted}"))
        }
        None => Hop::whole("selectors", format!("for processes that have {wanted}")),
    }
}

/// Whether the entry itself is any good.
pub(super) fn entry_hop(facts: &Facts, entry: &Entry) -> Hop {
    let id = &entry.id;
    if entry.expires_at != 0 && entry.expires_at <= facts.now {
        let text = format!("entry {id} expired at {}", utc_time(entry.expires_at));
        let mend = format!("steeple-server entry delete -entryID {id}, then entry create with a later -entryExpiry");
        return Hop::broken("entry", text, mend);
    }
    if entry.store_svid {
        let text = format!("entry {id} is stored by an agent's SVIDStore plugin: the Workload API does not serve it");
        let mend = format!("steeple-server entry show -entryID {id}, then entry update without -storeSVID");
        return Hop::broken("entry", text, mend);
    }
    let text = format!("entry {id} grants {}", id_text(entry.spiffe_id.as_ref()));
    Hop::whole("entry", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::why::facts::Parent;
    use crate::cli::why::hop::Verdict;
    use steeple_api::steeple::server::{Member, StatusResponse};
    use steeple_api::types::{Agent, Selector, Spiffeid};

    const NODE: &str = "/spire/agent/x509pop/1";

    fn id(path: &str) -> Option<Spiffeid> {
        Some(Spiffeid { trust_domain: "td".into(), path: path.into() })
    }

    fn record() -> Agent {
        Agent { id: id(NODE), x509svid_expires_at: 1_000, can_reattest: true, ..Agent::default() }
    }

    fn entry(id_: &str, path: &str, parent: &str) -> Entry {
        let selectors = vec![Selector { r#type: "unix".into(), value: "uid:1".into() }];
        Entry { id: id_.into(), spiffe_id: id(path), parent_id: id(parent), selectors, ..Entry::default() }
    }

    fn facts(lineages: Vec<Lineage>) -> Facts {
        let status = StatusResponse {
            node_id: 1,
            leader_id: 2,
            members: vec![Member { node_id: 1, ..Member::default() }],
            ..StatusResponse::default()
        };
        Facts { now: 500, status, lineages, ..Facts::default() }
    }

    fn direct(record: Option<Agent>) -> Lineage {
        Lineage { entry: entry("e", "/web", NODE), parent: Parent::Agent { id: format!("spiffe://td{NODE}"), record } }
    }

    fn aliased(agents: Vec<Agent>) -> Lineage {
        let alias = Lineage { entry: entry("alias", "/node", "/spire/server"), parent: Parent::Nodes(agents) };
        let parent = Parent::Entries { id: "spiffe://td/node".into(), above: vec![alias] };
        Lineage { entry: entry("e", "/web", "/node"), parent }
    }

    fn web() -> Subject {
        Subject::of(&["spiffe://td/web".to_owned()]).unwrap()
    }

    /// The hop that fails, and the command that mends it.
    fn failing(facts: &Facts) -> (&'static str, String) {
        let explanation = explain(&web(), facts);
        assert!(!explanation.whole, "{explanation:?}");
        let hop = explanation.ways[0].hops.iter().find(|hop| hop.is_broken()).unwrap();
        (hop.hop, format!("{} => {}", hop.text, hop.mend.clone().unwrap()))
    }

    #[test]
    fn what_is_whole_is_said_to_be() {
        for lineage in [direct(Some(record())), aliased(vec![record()])] {
            let explanation = explain(&web(), &facts(vec![lineage]));
            assert!(explanation.whole && explanation.ways[0].hops.iter().all(|hop| hop.verdict == Verdict::Whole));
        }
    }

    #[test]
    fn the_hop_that_fails_is_named_with_the_command_that_mends_it() {
        let banned = Agent { banned: true, ..record() };
        let expired = Agent { x509svid_expires_at: 499, can_reattest: false, ..record() };
        let with = |change: fn(&mut Entry)| {
            let mut lineage = direct(Some(record()));
            change(&mut lineage.entry);
            lineage
        };
        let orphan = Lineage {
            entry: entry("e", "/web", "/node"),
            parent: Parent::Entries { id: "spiffe://td/node".into(), above: Vec::new() },
        };
        let endless = Lineage { entry: entry("e", "/web", "/web"), parent: Parent::Endless };
        for (lineage, hop, words) in [
            (direct(None), "agent", ["no agent is attested", "token generate"]),
            (direct(Some(banned.clone())), "agent", ["is banned", "agent evict -spiffeID spiffe://td/spire/agent/"]),
            (direct(Some(expired.clone())), "agent", ["expired at 1970", "token generate"]),
            (aliased(Vec::new()), "alias", ["asks for unix:uid:1", "agent list"]),
            (aliased(vec![banned.clone(), expired]), "agent", ["is banned", "agent evict"]),
            (orphan, "parent", ["no entry grants it to nodes", "entry create -node -spiffeID spiffe://td/node"]),
            (endless, "parent", ["lead back to themselves", "entry update -entryID e"]),
            (with(|entry| entry.expires_at = 500), "entry", ["expired at 1970", "entry delete -entryID e"]),
            (with(|entry| entry.store_svid = true), "entry", ["SVIDStore", "entry show -entryID e"]),
        ] {
            let (found, text) = failing(&facts(vec![lineage]));
            assert!(found == hop && words.iter().all(|word| text.contains(word)), "{hop}: {found}: {text}");
        }
        assert!(failing(&facts(Vec::new())).1.contains("no entry grants spiffe://td/web"));
        let leaderless = Facts { status: StatusResponse::default(), ..facts(vec![direct(Some(record()))]) };
        assert_eq!(failing(&leaderless).0, "replica");
    }

    #[test]
    fn one_agent_that_works_is_enough_and_the_others_are_told() {
        let banned = Agent { banned: true, ..record() };
        let explanation = explain(&web(), &facts(vec![aliased(vec![banned, record()])]));
        let told: Vec<Verdict> =
            explanation.ways[0].hops.iter().filter(|hop| hop.hop == "agent").map(|hop| hop.verdict).collect();
        assert_eq!((explanation.whole, told), (true, vec![Verdict::Doubtful, Verdict::Whole]));
    }

    #[test]
    fn what_is_late_or_lacking_is_doubtful() {
        let mut known = facts(vec![direct(Some(record()))]);
        known.status.members[0].lag = 7;
        known.acknowledgements.missing_agent_ids = vec![format!("spiffe://td{NODE}")];
        known.lineages[0].entry.federates_with = vec!["other".into()];
        known.missing_bundles.insert("other".into());
        let explanation = explain(&web(), &known);
        let doubtful = explanation.ways[0].hops.iter().filter(|hop| hop.verdict == Verdict::Doubtful);
        assert_eq!(doubtful.map(|hop| hop.hop).collect::<Vec<_>>(), ["replica", "agent", "bundle"]);
        assert!(explanation.whole);
    }

    #[test]
    fn a_process_is_told_what_it_has() {
        let selectors = Some(entry("", "/", "/").selectors);
        let known = Facts { selectors, ..facts(Vec::new()) };
        let explanation = explain(&Subject::Process(7), &known);
        let hop = explanation.ways[0].hops.last().unwrap();
        assert!(hop.is_broken() && hop.text.contains("it has unix:uid:1,"), "{hop:?}");
    }
}
