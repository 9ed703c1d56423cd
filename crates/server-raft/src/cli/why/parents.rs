//! What stands above an entry: other entries, node aliases, agents. Pure.

use steeple_api::steeple::server::Acknowledgements;
use steeple_api::types::{Agent, Entry};
use steeple_cli::utc_time;

use super::explain::entry_hop;
use super::facts::{Facts, Lineage, Parent};
use super::hop::Hop;
use crate::cli::selectors::{id_text, selector_texts};

/// Agents of one alias that are told one by one: the trouble of the first is mostly that of all.
const AGENTS_SHOWN_MAX: usize = 5;

/// Down to the agents. Where several can serve it, the best of them is told.
pub(super) fn parents(facts: &Facts, lineage: &Lineage) -> Vec<Hop> {
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
    let (id, wanted) = (&alias.id, selector_texts(&alias.selectors));
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

pub(super) fn agent(facts: &Facts, id: &str, record: Option<&Agent>) -> Hop {
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
