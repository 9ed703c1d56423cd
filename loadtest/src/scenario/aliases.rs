//! Agents that share what they see, a hundred at a time, as nodes of one kind do.

use std::sync::Arc;

use steeple_api::types;

use crate::fleet::Agent;
use crate::target::{Target, Wanted, batch_create, create_all, until_authorized};

/// Attested agents, an alias for each hundred of them, and `entries` visible to each; the last of every group has seen
/// them all.
pub(super) async fn aliased_fleet(target: &Target, agents: usize, entries: usize) -> anyhow::Result<Vec<Arc<Agent>>> {
    let agents = target.agents(agents, |number| name(number / GROUP_AGENTS)).await?;
    let groups = agents.len().div_ceil(GROUP_AGENTS);
    let trust_domain = target.trust_domain().clone();
    let admin = target.admin()?;
    let aliases = (0..groups).map(|group| Wanted::alias(&trust_domain, &alias_path(group), &name(group)));
    for aliases in aliases.collect::<Vec<_>>().chunks(ALIASES_BATCH) {
        batch_create(&admin, aliases.to_vec()).await?;
    }
    let wanted = move |number: u64| {
        let (group, entry) = (number as usize / entries, number as usize % entries);
        let parent = types::Spiffeid { trust_domain: trust_domain.name().to_owned(), path: alias_path(group) };
        Wanted { path: format!("/load/{group}/{entry}"), parent }.entry()
    };
    create_all(|| target.admin(), (groups * entries) as u64, wanted, &target.progress).await?;
    let last_of_each: Vec<Arc<Agent>> = agents.chunks(GROUP_AGENTS).filter_map(|group| group.last().cloned()).collect();
    until_authorized(&last_of_each, entries, &target.progress).await?;
    Ok(agents)
}

fn name(group: usize) -> String {
    format!("group-{group}")
}

fn alias_path(group: usize) -> String {
    format!("/group/{group}")
}

const GROUP_AGENTS: usize = 100;
const ALIASES_BATCH: usize = 500;
