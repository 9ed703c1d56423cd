//! `steeple.server.v1.Authorities`: where the signing authorities stand and what will become of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use steeple_api::steeple::peer::AcknowledgementsResponse;
use steeple_api::steeple::server::authorities_server::Authorities as AuthoritiesApi;
use steeple_api::steeple::server::*;
use steeple_ca::acknowledgement::LiveAgent;
use steeple_ca::certificate;
use steeple_ca::forecast::{ForecastStep, forecast, leavings};
use steeple_ca::lifecycle::{AckState, Step, activation};
use steeple_ca::policy::Policy;
use steeple_core::{self as core, AttestedAgent, AuthorityKind, AuthoritySet, Bundle, SpiffeId, Timestamp};
use steeple_state::State;
use tonic::{Code, Request, Response, Status};

use super::shared::{Shared, View};
use crate::acknowledgement::{Gathered, gather};

pub struct AuthoritiesService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl AuthoritiesApi for AuthoritiesService {
    async fn status(
        &self,
        request: Request<AuthorityStatusRequest>,
    ) -> Result<Response<AuthorityStatusResponse>, Status> {
        let (view, stale) = self.view(request.into_inner().allow_stale).await?;
        let gathered = gather(&self.shared.replica).await;
        let state = view.state();
        let bundle = state.own_bundle();
        let policy = &self.shared.maker.policy;
        let authorities = self.shared.switches.kinds().into_iter().flat_map(|kind| {
            let set = state.authorities(kind);
            slots(set).map(|(slot, authority)| to_wire(policy, set, slot, authority, bundle.map(AsRef::as_ref)))
        });
        let authorities = authorities.collect();
        let silent = silent_agents(&state, &gathered, self.shared.clock.now());
        let acknowledgements = Some(acknowledgements(&gathered, &silent));
        Ok(Response::new(AuthorityStatusResponse { authorities, acknowledgements, stale }))
    }

    async fn plan(&self, request: Request<AuthorityPlanRequest>) -> Result<Response<AuthorityPlanResponse>, Status> {
        let now = self.shared.clock.now();
        let AuthorityPlanRequest { until, allow_stale } = request.into_inner();
        let until = match until {
            0 => now.saturating_add(YEAR),
            secs => Timestamp::from_secs(secs),
        };
        if until <= now {
            return Err(Status::invalid_argument("the plan must end in the future"));
        }
        let (view, stale) = self.view(allow_stale).await?;
        let mut steps = Vec::new();
        let mut complete_until = until;
        for kind in self.shared.switches.kinds() {
            let set = view.state().authorities(kind).clone();
            let mut made = 0;
            let mut planned = forecast(now, until, kind, &self.shared.maker.policy, set.clone());
            let mut foreseen: Vec<ForecastStep> = planned.by_ref().collect();
            foreseen.extend(leavings(&set, &foreseen, planned.covers()));
            steps.extend(foreseen.iter().map(|step| planned_step(kind, step, &mut made)));
            complete_until = complete_until.min(planned.covers());
        }
        steps.sort_by_key(|step| step.at);
        Ok(Response::new(AuthorityPlanResponse { steps, complete_until: complete_until.as_secs(), stale }))
    }
}

impl AuthoritiesService {
    /// And whether it may be old.
    async fn view(&self, allow_stale: bool) -> Result<(View, bool), Status> {
        match self.shared.fresh().await {
            Err(status) if allow_stale && status.code() == Code::Unavailable => Ok((self.shared.held().await?, true)),
            fresh => Ok((fresh?, false)),
        }
    }
}

fn slots(set: &AuthoritySet) -> impl Iterator<Item = (&'static str, &core::Authority)> {
    let slots = [("active", set.active.as_ref()), ("prepared", set.prepared()), ("old", set.old())];
    slots.into_iter().filter_map(|(slot, authority)| Some((slot, authority?)))
}

fn to_wire(
    policy: &Policy,
    set: &AuthoritySet,
    slot: &str,
    authority: &core::Authority,
    bundle: Option<&Bundle>,
) -> Authority {
    let in_bundle = bundle.and_then(|bundle| taint_of(bundle, authority));
    let activation = activation(policy, set).filter(|_| slot == "prepared");
    Authority {
        kind: authority.kind.name().to_owned(),
        authority_id: authority.id.clone(),
        slot: slot.to_owned(),
        issued_at: authority.issued_at.as_secs(),
        not_after: authority.not_after.as_secs(),
        published: in_bundle.is_some(),
        tainted: in_bundle.unwrap_or(false),
        upstream_authority_id: authority.upstream_authority_id.clone(),
        activates_at: activation.map_or(0, |activation| activation.due_at.as_secs()),
        activates_until: activation.map_or(0, |activation| activation.until.as_secs()),
    }
}

/// Whether the authority, or the root above it, is tainted; `None` when the bundle does not have it.
fn taint_of(bundle: &Bundle, authority: &core::Authority) -> Option<bool> {
    match authority.kind {
        AuthorityKind::X509 => {
            let top = authority.upstream_chain.last().unwrap_or(&authority.certificate);
            let is_root = |der: &[u8]| der == authority.certificate || certificate::is_signed_by(top, der);
            bundle.x509_authorities.iter().find(|root| is_root(&root.der)).map(|root| root.tainted)
        }
        kind => bundle.key(kind, &authority.id).map(|key| key.tainted),
    }
}

/// Whom no replica heard from lately, although their SVIDs hold.
fn silent_agents<'s>(state: &'s State, gathered: &Gathered, now: Timestamp) -> Vec<&'s SpiffeId> {
    let answers = gathered.replicas.iter().filter_map(|member| member.answer.as_ref());
    let live = answers.flat_map(|answer| answer.live_agents.iter().map(|wire| LiveAgent::from_wire(*wire).digest));
    let live: HashSet<u64> = live.collect();
    let holds = |agent: &&AttestedAgent| !agent.is_banned() && !agent.is_expired(now);
    let is_silent = |agent: &&AttestedAgent| !live.contains(&LiveAgent::new(&agent.id, false, false).digest);
    state.all_agents().filter(holds).filter(is_silent).map(|agent| &agent.id).collect()
}

fn acknowledgements(gathered: &Gathered, silent: &[&SpiffeId]) -> Acknowledgements {
    let tally = &gathered.tally;
    let replica = |(position, member): (usize, &crate::peer::MemberAnswer)| {
        let AcknowledgementsResponse { bundle_sequence, svid_authority_id, complete, .. } =
            member.answer.clone().unwrap_or_default();
        AcknowledgingReplica {
            node_id: member.node_id,
            name: member.name.clone(),
            answers: member.answer.is_some(),
            complete,
            bundle_sequence,
            svid_authority_id,
            missing: tally.missing_replicas.contains(&position),
        }
    };
    Acknowledgements {
        bundle_sequence: gathered.sequence,
        untracked: tally.state() == AckState::NotTracked,
        missing: tally.state().missing() as u64,
        live_agents: tally.live as u64,
        polling_agents: tally.polling as u64,
        missing_agents: (tally.missing() - tally.missing_replicas.len()) as u64,
        missing_agent_ids: tally.missing_agents.iter().take(AGENTS_LISTED_MAX).map(ToString::to_string).collect(),
        replicas: gathered.replicas.iter().enumerate().map(replica).collect(),
        silent_agents: silent.len() as u64,
        silent_agent_ids: silent.iter().take(AGENTS_LISTED_MAX).map(ToString::to_string).collect(),
    }
}

/// `made` counts the authorities that do not exist yet, as the forecast does.
fn planned_step(kind: AuthorityKind, step: &ForecastStep, made: &mut usize) -> PlannedStep {
    let (action, authority_id) = match &step.step {
        Step::Prepare(_) => {
            *made += 1;
            ("prepare", format!("next-{made}"))
        }
        Step::Activate(id) => ("activate", id.clone()),
        Step::Forget(id) => ("forget", id.clone()),
    };
    PlannedStep {
        at: step.at.as_secs(),
        kind: kind.name().to_owned(),
        action: action.to_owned(),
        authority_id,
        not_after: step.not_after.as_secs(),
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Whoever has more of them missing looks for a common cause, not at IDs.
const AGENTS_LISTED_MAX: usize = 100;
