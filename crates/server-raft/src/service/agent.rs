//! `spire.api.server.agent.v1.Agent`, apart from attestation itself (see [`super::attest`]).

use std::sync::Arc;

use steeple_api::convert::{agent_to_wire, id_from_wire, selector_filter_from_wire};
use steeple_api::server::agent::agent_server::Agent as AgentApi;
use steeple_api::server::agent::*;
use steeple_api::types;
use steeple_core::{AttestedAgent, Entry, JoinToken, Selector, SpiffeId};
use steeple_state::validate::{agent_id, workload_id};
use steeple_state::view::{AgentFilter, PageRequest, SelectorFilter};
use steeple_state::{CLUSTER_VERSION_RENEWAL, CommandKind, limits};
use tonic::{Request, Response, Status, Streaming};

use super::attest;
use super::query::{bad_token, invalid, page, unhandled};
use super::shared::Shared;
use crate::authz::{Authorized, Denial, Rights, authorized};
use crate::issue::agent_svid;

pub struct AgentService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl AgentApi for AgentService {
    async fn count_agents(
        &self,
        request: Request<CountAgentsRequest>,
    ) -> Result<Response<CountAgentsResponse>, Status> {
        let caller = authorized(&request)?;
        let filter = request.into_inner().filter.unwrap_or_default();
        let mut filter = list_filter(
            list_agents_request::Filter {
                by_attestation_type: filter.by_attestation_type,
                by_selector_match: filter.by_selector_match,
                by_banned: filter.by_banned,
                by_can_reattest: filter.by_can_reattest,
                by_expires_before: filter.by_expires_before,
            },
            PageRequest::ALL,
            "failed to count agents",
        )?;
        filter.within = caller.rights().and_then(Rights::agents);
        let view = self.shared.fresh().await?;
        let count = view.state().count_agents(&filter);
        Ok(Response::new(CountAgentsResponse { count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    async fn list_agents(&self, request: Request<ListAgentsRequest>) -> Result<Response<ListAgentsResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let what = "failed to list agents";
        let wanted = page(request.page_size, &request.page_token);
        let mut filter = list_filter(request.filter.unwrap_or_default(), wanted, what)?;
        filter.within = caller.rights().and_then(Rights::agents);
        let view = self.shared.fresh().await?;
        let page = view.state().agents(&filter, wanted).map_err(bad_token(what))?;
        let mask = request.output_mask.as_ref();
        Ok(Response::new(ListAgentsResponse {
            agents: page.items.iter().map(|agent| agent_to_wire(agent, mask)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn get_agent(&self, request: Request<GetAgentRequest>) -> Result<Response<types::Agent>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let id = self.agent_id(request.id.as_ref())?;
        may_touch(&caller, &id)?;
        let view = self.shared.fresh().await?;
        let agent = view.state().agent(&id).cloned().ok_or_else(not_found)?;
        Ok(Response::new(agent_to_wire(&agent, request.output_mask.as_ref())))
    }

    async fn delete_agent(&self, request: Request<DeleteAgentRequest>) -> Result<Response<()>, Status> {
        let caller = authorized(&request)?;
        let id = self.agent_id(request.into_inner().id.as_ref())?;
        may_touch(&caller, &id)?;
        self.shared.propose(&caller, CommandKind::DeleteAgent { id: id.clone() }).await?;
        tracing::info!(spiffe_id = %id, "Agent deleted");
        Ok(Response::new(()))
    }

    async fn ban_agent(&self, request: Request<BanAgentRequest>) -> Result<Response<()>, Status> {
        let caller = authorized(&request)?;
        let id = self.agent_id(request.into_inner().id.as_ref())?;
        may_touch(&caller, &id)?;
        self.shared.propose(&caller, CommandKind::BanAgent { id: id.clone() }).await?;
        tracing::info!(spiffe_id = %id, "Agent banned");
        Ok(Response::new(()))
    }

    async fn attest_agent(
        &self,
        request: Request<Streaming<AttestAgentRequest>>,
    ) -> Result<Response<attest::Responses>, Status> {
        let caller = authorized(&request)?;
        Ok(Response::new(attest::serve(Arc::clone(&self.shared), caller, request.into_inner())))
    }

    async fn renew_agent(&self, request: Request<RenewAgentRequest>) -> Result<Response<RenewAgentResponse>, Status> {
        let caller = authorized(&request)?;
        let id = caller.agent_id()?.clone();
        // Of every renewal acknowledged so far: one that comes in between is not replaced by this one.
        let (record, version) = {
            let view = self.shared.fresh().await?;
            let state = view.state();
            (state.agent(&id).cloned().ok_or_else(not_found)?, state.cluster_version())
        };
        let replaces = Some(record.new_serial.clone()).filter(|_| version >= CLUSTER_VERSION_RENEWAL);
        if record.can_reattest {
            let message = "agent must reattest instead of renew";
            return Err(steeple_api::status::permission_denied(message, Denial::MustReattest.into()));
        }
        tracing::info!("Renewing agent SVID");
        let params = request.into_inner().params.ok_or_else(|| Status::invalid_argument("params cannot be nil"))?;
        if params.csr.is_empty() {
            return Err(Status::invalid_argument("missing CSR"));
        }
        let csr = attest::public_key(&params.csr)?;
        let issued = self.shared.issuer.x509(agent_svid(&id, &csr)).await?;
        let serial = attest::leaf_serial(&issued.chain)?;
        let not_after = issued.not_after;
        let command = CommandKind::SetPendingSerial { id: id.clone(), serial, not_after, replaces };
        self.shared.propose(&caller, command).await?;
        Ok(Response::new(RenewAgentResponse { svid: Some(attest::svid_to_wire(&id, issued)) }))
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<types::JoinToken>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        if request.ttl < 1 {
            return Err(Status::invalid_argument("ttl is required, you must provide one"));
        }
        let agent_id = match request.agent_id.as_ref() {
            Some(id) => Some(self.workload_id(id)?),
            None => None,
        };
        if request.token.len() > JOIN_TOKEN_BYTES_MAX {
            return Err(Status::invalid_argument(format!(
                "the join token has {} bytes, more than {JOIN_TOKEN_BYTES_MAX}",
                request.token.len()
            )));
        }
        if let Some(rights) = caller.rights() {
            self.may_join(rights, &request.token, agent_id.as_ref()).await?;
        }
        let value = if request.token.is_empty() { uuid::Uuid::new_v4().to_string() } else { request.token };
        let expires_at = self.shared.clock.now().as_secs() + i64::from(request.ttl);
        let alias = match agent_id {
            Some(id) => Some(Arc::new(self.alias(&value, id)?)),
            None => None,
        };
        let token = JoinToken { value: value.clone(), expires_at };
        self.shared.propose(&caller, CommandKind::CreateJoinToken { token, alias }).await?;
        Ok(Response::new(types::JoinToken { value, expires_at }))
    }

    async fn post_status(&self, request: Request<PostStatusRequest>) -> Result<Response<PostStatusResponse>, Status> {
        let caller = authorized(&request)?;
        let id = caller.agent_id()?.clone();
        let PostStatusRequest { current_bundle_serial, agent_version: version } = request.into_inner();
        check_version(&version)?;
        self.shared.acknowledgements.reported(&id, current_bundle_serial);
        note_version(&self.shared, &caller, version).await?;
        Ok(Response::new(PostStatusResponse {}))
    }
}

impl AgentService {
    fn agent_id(&self, id: Option<&types::Spiffeid>) -> Result<SpiffeId, Status> {
        let id = id_from_wire(id).map_err(|error| invalid("invalid agent ID", &error))?;
        agent_id(&id, &self.shared.trust_domain).map_err(bad_agent_id)?;
        Ok(id)
    }

    fn workload_id(&self, id: &types::Spiffeid) -> Result<SpiffeId, Status> {
        let id = id_from_wire(Some(id)).map_err(|error| invalid("invalid agent ID", &error))?;
        workload_id(&id, &self.shared.trust_domain).map_err(bad_agent_id)?;
        Ok(id)
    }

    /// Whether a caller with limited rights may let a node join, as which ID that may be. A token of its own choice is
    /// a choice of the agent's ID, which may have had entries before.
    async fn may_join(&self, rights: &Rights, token: &str, alias: Option<&SpiffeId>) -> Result<(), Status> {
        let view = self.shared.fresh().await?;
        let state = view.state();
        if let Some(alias) = alias {
            rights.allow_node(&state, alias)?;
        }
        if alias.is_none() || !token.is_empty() {
            let token = if token.is_empty() { ANY_TOKEN } else { token };
            rights.allow_node(&state, &attest::join_token_id(&self.shared.trust_domain, token)?)?;
        }
        Ok(())
    }

    /// The entry that gives the agent of a join token a second ID (SPIRE behaviour).
    fn alias(&self, token: &str, spiffe_id: SpiffeId) -> Result<Entry, Status> {
        let parent_id = attest::join_token_id(&self.shared.trust_domain, token).map_err(|error| {
            Status::internal(format!("failed to create join token registration entry: {}", error.message()))
        })?;
        let selector = Selector { kind: "spiffe_id".to_owned(), value: parent_id.to_string() };
        Ok(Entry {
            id: uuid::Uuid::new_v4().to_string(),
            spiffe_id,
            parent_id,
            selectors: [selector].into_iter().collect(),
            x509_svid_ttl: 0,
            jwt_svid_ttl: 0,
            federates_with: Vec::new(),
            admin: false,
            downstream: false,
            expires_at: 0,
            dns_names: Vec::new(),
            revision: 0,
            store_svid: false,
            hint: String::new(),
            created_at: 0,
            disable_x509_svid_prefetch: false,
            jwt_svid_include_jti: false,
        })
    }
}

/// Writes it down if it is another one than before.
pub(super) async fn note_version(shared: &Shared, caller: &Authorized, version: String) -> Result<(), Status> {
    check_version(&version)?;
    let id = caller.agent_id()?.clone();
    let known = record(shared, &id).await?.agent_version.clone();
    if !version.is_empty() && version != known {
        shared.propose(caller, CommandKind::SetAgentVersion { id, version }).await?;
    }
    Ok(())
}

/// Bytes, whatever the text says (SPIRE behaviour).
fn check_version(version: &str) -> Result<(), Status> {
    let most = limits::AGENT_VERSION_CHARS_MAX;
    if version.len() > most {
        return Err(Status::invalid_argument(format!("agent version is too long (max {most} characters)")));
    }
    Ok(())
}

/// The calling agent's own record; it was there a moment ago, when the call was authorized.
async fn record(shared: &Shared, id: &SpiffeId) -> Result<Arc<AttestedAgent>, Status> {
    let view = shared.local().await?;
    let record = view.state().agent(id).cloned();
    record.ok_or_else(not_found)
}

/// An empty selector set is `Internal` here, unlike for entries; a date that cannot be read, or is Go's zero time,
/// filters nothing (SPIRE behaviour).
/// In the order in which SPIRE reads it: a page token comes before the kind of match.
fn list_filter(wire: list_agents_request::Filter, page: PageRequest<'_>, what: &str) -> Result<AgentFilter, Status> {
    let mut filter = AgentFilter {
        attestation_type: Some(wire.by_attestation_type).filter(|name| !name.is_empty()),
        banned: wire.by_banned,
        can_reattest: wire.by_can_reattest,
        expires_before: steeple_cli::parse_offset_time(&wire.by_expires_before).filter(|time| *time != GO_ZERO_TIME),
        ..AgentFilter::default()
    };
    if let Some(selectors) = wire.by_selector_match.as_ref() {
        let (selectors, how) =
            selector_filter_from_wire(selectors).map_err(|error| invalid("failed to parse selectors", &error))?;
        if selectors.is_empty() {
            return Err(Status::internal(format!("{what}: cannot list by empty selectors set")));
        }
        page.after_agent().map_err(bad_token(what))?;
        filter.selectors = Some(SelectorFilter { selectors, how: how.map_err(unhandled(what, ""))? });
    }
    Ok(filter)
}

fn may_touch(caller: &Authorized, id: &SpiffeId) -> Result<(), Status> {
    caller.rights().map_or(Ok(()), |rights| Ok(rights.allow_agent(id)?))
}

fn bad_agent_id(error: steeple_state::validate::IdRuleError) -> Status {
    Status::invalid_argument(format!("invalid agent ID: {error}"))
}

fn not_found() -> Status {
    Status::not_found("agent not found")
}

/// It becomes part of a SPIFFE ID, whose length is bounded too.
const JOIN_TOKEN_BYTES_MAX: usize = 1024;
/// The first of January of the year 1, in Unix seconds.
const GO_ZERO_TIME: i64 = -62_135_596_800;
/// Stands for one that the server chooses.
const ANY_TOKEN: &str = "00000000-0000-0000-0000-000000000000";
