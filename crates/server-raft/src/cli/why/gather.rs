//! The facts, asked of the server over the calls that other commands use.

use std::collections::BTreeSet;

use steeple_api::convert::id_to_wire;
use steeple_api::server::agent::GetAgentRequest;
use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::list_agents_request::Filter as AgentFilter;
use steeple_api::server::bundle::GetFederatedBundleRequest;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::entry::GetEntryRequest;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::list_entries_request::Filter;
use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
use steeple_api::steeple::server::cluster_client::ClusterClient;
use steeple_api::steeple::server::{AuthorityStatusRequest, StatusRequest};
use steeple_api::types::{Agent, Entry, Selector, SelectorMatch, Spiffeid, selector_match};
use steeple_cli::{Context, Failure};
use steeple_core::plugin::{WorkloadAttestor, WorkloadProcess};
use steeple_core::{Clock as _, SystemClock};
use steeple_plugins::unix::{UnixAttestor, UnixSettings};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::facts::{Facts, Lineage, Parent};
use super::subject::Subject;
use crate::cli::agent::fetch_all as fetch_agents;
use crate::cli::entry::pages::fetch_all;
use crate::cli::selectors::id_text;

/// Entries above an entry; a workload that is the parent of a workload is rare, and more than a few are a mistake.
const DEPTH_MAX: usize = 8;
/// Entries that one question explains; more of one SPIFFE ID are hardly read.
const ENTRIES_MAX: usize = 100;
/// Of a node alias, SPIRE's.
const SERVER_PATH: &str = "/spire/server";
const AGENT_PATHS: &str = "/spire/agent/";

pub(super) async fn facts(channel: Channel, subject: &Subject) -> Result<Facts, Failure> {
    let mut asked = Asked {
        agents: AgentClient::new(channel.clone()),
        bundles: BundleClient::new(channel.clone()),
        entries: EntryClient::new(channel.clone()),
    };
    let status = ClusterClient::new(channel.clone()).status(StatusRequest {}).await?.into_inner();
    let mut facts = Facts { now: SystemClock.now().as_secs(), status, ..Facts::default() };
    if facts.status.leader_id == 0 {
        // Nothing else can be asked.
        return Ok(facts);
    }
    let authorities = AuthoritiesClient::new(channel).status(AuthorityStatusRequest::default()).await?.into_inner();
    facts.acknowledgements = authorities.acknowledgements.unwrap_or_default();
    let found = match subject {
        Subject::Entry(id) => {
            let request = GetEntryRequest { id: id.clone(), output_mask: None };
            or_none(asked.entries.get_entry(request).await)?.into_iter().collect()
        }
        Subject::Id(id) if id.path().starts_with(AGENT_PATHS) => {
            facts.agent = Some(asked.agent(&id_to_wire(id)).await?);
            Vec::new()
        }
        Subject::Id(id) => asked.granting(&id_to_wire(id)).await?,
        Subject::Process(pid) => {
            let selectors = selectors(*pid).await?;
            let found = asked.matching(&selectors).await?;
            facts.selectors = Some(selectors);
            found
        }
    };
    for entry in found.into_iter().take(ENTRIES_MAX) {
        for trust_domain in &entry.federates_with {
            if asked.lacks_bundle(trust_domain).await? {
                facts.missing_bundles.insert(trust_domain.clone());
            }
        }
        facts.lineages.push(asked.lineage(entry, &mut BTreeSet::new()).await?);
    }
    Ok(facts)
}

struct Asked {
    agents: AgentClient<Channel>,
    bundles: BundleClient<Channel>,
    entries: EntryClient<Channel>,
}

impl Asked {
    async fn agent(&mut self, id: &Spiffeid) -> Result<Option<Agent>, Failure> {
        let request = GetAgentRequest { id: Some(id.clone()), output_mask: None };
        or_none(self.agents.get_agent(request).await)
    }

    async fn granting(&mut self, id: &Spiffeid) -> Result<Vec<Entry>, Failure> {
        let filter = Filter { by_spiffe_id: Some(id.clone()), ..Filter::default() };
        fetch_all(&mut self.entries, &filter).await
    }

    /// Entries of which a process with `selectors` has every selector.
    async fn matching(&mut self, selectors: &[Selector]) -> Result<Vec<Entry>, Failure> {
        let by_selectors = of(selectors, selector_match::MatchBehavior::MatchSubset);
        let found = fetch_all(&mut self.entries, &Filter { by_selectors, ..Filter::default() }).await?;
        let is_alias = |entry: &Entry| entry.parent_id.as_ref().is_some_and(|parent| parent.path == SERVER_PATH);
        Ok(found.into_iter().filter(|entry| !is_alias(entry)).collect())
    }

    async fn lacks_bundle(&mut self, trust_domain: &str) -> Result<bool, Failure> {
        let request = GetFederatedBundleRequest { trust_domain: trust_domain.to_owned(), output_mask: None };
        Ok(or_none(self.bundles.get_federated_bundle(request).await)?.is_none())
    }

    /// `below` are the IDs on the way here.
    async fn lineage(&mut self, entry: Entry, below: &mut BTreeSet<String>) -> Result<Lineage, Failure> {
        let parent_id = entry.parent_id.clone().unwrap_or_default();
        let id = id_text(Some(&parent_id));
        let parent = if parent_id.path == SERVER_PATH {
            let by_selector_match = of(&entry.selectors, selector_match::MatchBehavior::MatchSuperset);
            let filter = AgentFilter { by_selector_match, ..AgentFilter::default() };
            Parent::Nodes(fetch_agents(&mut self.agents, filter, None).await?)
        } else if parent_id.path.starts_with(AGENT_PATHS) {
            Parent::Agent { record: self.agent(&parent_id).await?, id }
        } else if below.len() >= DEPTH_MAX || !below.insert(id.clone()) {
            Parent::Endless
        } else {
            let mut above = Vec::new();
            for entry in self.granting(&parent_id).await?.into_iter().take(ENTRIES_MAX) {
                above.push(Box::pin(self.lineage(entry, below)).await?);
            }
            below.remove(&id);
            Parent::Entries { id, above }
        };
        Ok(Lineage { entry, parent })
    }
}

fn of(selectors: &[Selector], how: selector_match::MatchBehavior) -> Option<SelectorMatch> {
    Some(SelectorMatch { selectors: selectors.to_vec(), r#match: how.into() })
}

/// What the unix attestor of an agent here would find. Containers' selectors are their agents' business.
async fn selectors(pid: i32) -> Result<Vec<Selector>, Failure> {
    let settings = UnixSettings { discover_workload_path: true, workload_size_limit_bytes: 0 };
    let found = UnixAttestor::new(settings).attest(WorkloadProcess { pid, uid: 0, gid: 0 }).await;
    let found = found.map_err(Failure::message).context(format!("process {pid}"))?;
    Ok(found.iter().map(|one| Selector { r#type: one.kind.clone(), value: one.value.clone() }).collect())
}

fn or_none<T>(answer: Result<tonic::Response<T>, Status>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status.into()),
    }
}
