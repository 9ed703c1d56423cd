//! From facts to hops. Pure.

use steeple_api::steeple::server::Acknowledgements;
use steeple_api::types::{Agent, Entry, Selector};
use steeple_cli::utc_time;

use super::facts::{Facts, Lineage, Parent};
use super::hop::{Explanation, Hop, Way};
use super::subject::Subject;
use crate::cli::selectors::id_text;

/// Agents of one alias that are told one by one: the trouble of the first is mostly that of all.
const AGENTS_SHOWN_MAX: usize = 5;

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
                joined(has)
            );
            let first = has.first().map(|selector| format!("-selector {}", text_of(selector))).unwrap_or_default();
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
    let wanted = joined(&entry.selectors);
    match &facts.selectors {
        Some(_) => Hop::whole("selectors", format!("the process has {wanted}")),
        None if matches!(entry.parent_id.as_ref(), Some(id) if id.path == "/spire/server") => {
            Hop::whole("selectors", format!("for nodes whose attestation gives {wanted}"))
        }
        None => Hop::whole("selectors", format!("for processes that have {wanted}")),
    }
}

fn entry_hop(facts: &Facts, entry: &Entry) -> Hop {
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

/// What stands above an entry, down to the agents. Where several can serve it, the best of them is told.
fn parents(facts: &Facts, lineage: &Lineage) -> Vec<Hop> {
    let entry_id = &lineage.entry.id;
    match &lineage.parent {
        Parent::Agent { id, record } => vec![agent(facts, id, record.as_ref())],
        Parent::Nodes(agents) => nodes(facts, &lineage.entry, agents),
        Parent::Endless => {
            let text = format!("the parents of entry {entry_id} lead back to themselves, or are too many");
            let mend = format!("steeple-server entry update -entryID {entry_id} -parentID AGENT_OR_NODE_ID ...");
            vec![Hop::broken("parent", text, mend)]
        }
        Parent::Entries { id, above } => {
            let ways = above.iter().map(|lineage| {
                let expired = Some(entry_hop(facts, &lineage.entry)).filter(Hop::is_broken);
                expired.into_iter().chain(parents(facts, lineage)).collect::<Vec<Hop>>()
            });
            let broken = |hops: &Vec<Hop>| hops.iter().filter(|hop| hop.is_broken()).count();
            match ways.min_by_key(broken) {
                Some(best) => {
                    let text = format!("the parent {id} is granted by {} entries", above.len());
                    [vec![Hop::whole("parent", text)], best].concat()
                }
                None => {
                    let text = format!("the parent {id} is no agent, and no entry grants it to nodes");
                    let mend = format!("steeple-server entry create -node -spiffeID {id} -selector TYPE:VALUE");
                    vec![Hop::broken("parent", text, mend)]
                }
            }
        }
    }
}

fn nodes(facts: &Facts, alias: &Entry, agents: &[Agent]) -> Vec<Hop> {
    let (id, wanted) = (&alias.id, joined(&alias.selectors));
    if agents.is_empty() {
        let text = format!("node alias {id} asks for {wanted}, and no attested agent has that");
        return vec![Hop::broken("alias", text, "steeple-server agent list, then agent show -spiffeID AGENT_ID")];
    }
    let mut hops = vec![Hop::whole("alias", format!("node alias {id} ({wanted}) holds for {} agents", agents.len()))];
    let judged = agents.iter().map(|record| agent(facts, &id_text(record.id.as_ref()), Some(record)));
    let (broken, sound): (Vec<Hop>, Vec<Hop>) = judged.partition(Hop::is_broken);
    // One that works is enough for a way to be whole; those that do not are told all the same.
    let lesser = broken
        .into_iter()
        .map(|hop| if sound.is_empty() { hop } else { Hop::doubtful(hop.hop, hop.text, hop.mend.unwrap_or_default()) });
    hops.extend(lesser.take(AGENTS_SHOWN_MAX));
    hops.extend(sound.iter().take(AGENTS_SHOWN_MAX).cloned());
    hops
}

fn agent(facts: &Facts, id: &str, record: Option<&Agent>) -> Hop {
    let Some(agent) = record else {
        let text = format!("no agent is attested as {id}");
        let mend = "start the agent, and look at its log; with join tokens: steeple-server token generate";
        return Hop::broken("agent", text, mend);
    };
    if agent.banned {
        let mend = format!("steeple-server agent evict -spiffeID {id}, if it may attest again");
        return Hop::broken("agent", format!("agent {id} is banned"), mend);
    }
    if agent.x509svid_expires_at <= facts.now {
        let text = format!(
            "the SVID of agent {id} expired at {}: it does not run, or reaches no server",
            utc_time(agent.x509svid_expires_at)
        );
        let mend = if agent.can_reattest {
            "start the agent, and look at its log"
        } else {
            "steeple-server token generate, and start the agent with the new token"
        };
        return Hop::broken("agent", text, mend);
    }
    let until = utc_time(agent.x509svid_expires_at);
    if is_missing(&facts.acknowledgements, id) {
        let text = format!("agent {id} is attested until {until}, and has not acknowledged the current bundle");
        return Hop::doubtful("agent", text, "steeple-server ca status, and look at the agent's log");
    }
    Hop::whole("agent", format!("agent {id} is attested until {until}"))
}

fn is_missing(known: &Acknowledgements, id: &str) -> bool {
    known.missing_agent_ids.iter().any(|missing| missing == id)
}

fn joined(selectors: &[Selector]) -> String {
    selectors.iter().map(text_of).collect::<Vec<_>>().join(" ")
}

fn text_of(selector: &Selector) -> String {
    format!("{}:{}", selector.r#type, selector.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::why::hop::Verdict;
    use steeple_api::steeple::server::{Member, StatusResponse};
    use steeple_api::types::Spiffeid;

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
