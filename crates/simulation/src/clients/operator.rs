//! Bans agents, and rotates the X.509 authority by hand, as `ca rotate` does.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::server::agent::agent_client::AgentClient;
use steeple_api::server::agent::{BanAgentRequest, CreateJoinTokenRequest};
use steeple_api::server::localauthority::local_authority_client::LocalAuthorityClient;
use steeple_api::server::localauthority::{ActivateX509AuthorityRequest, PrepareX509AuthorityRequest};
use steeple_api::steeple::server::AuthorityStatusRequest;
use steeple_api::steeple::server::authorities_client::AuthoritiesClient;
use steeple_api::types::Spiffeid;
use steeple_testkit::Dice;
use tokio::time::sleep;

use super::call::{Answer, answered};
use super::channel::{admin, any_server};
use crate::node::TRUST_DOMAIN;
use crate::world::{Phase, World};

pub async fn run(world: Arc<World>, mut dice: Dice) -> turmoil::Result {
    world.until(Phase::Load).await;
    while world.is_loaded() {
        sleep(Duration::from_millis(2_000 + dice.below(8_000))).await;
        let server = any_server(&world, &mut dice);
        match dice.below(3) {
            0 => ban(&world, server, &mut dice).await,
            _ => rotate(&world, server).await,
        }
    }
    world.until(Phase::Healing).await;
    loop {
        let request = CreateJoinTokenRequest { ttl: 60, ..CreateJoinTokenRequest::default() };
        let server = any_server(&world, &mut dice);
        if let Answer::Done(_) = answered(AgentClient::new(admin(server)).create_join_token(request)).await {
            world.heals();
            return Ok(());
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn ban(world: &World, server: usize, dice: &mut Dice) {
    let chosen = {
        let ledger = world.ledger();
        let living: Vec<&str> = ledger.agents.living().collect();
        let position = usize::try_from(dice.below(living.len() as u64)).unwrap_or(0);
        living.get(position).map(|id| (*id).to_owned())
    };
    let Some(id) = chosen else { return };
    let Some(path) = id.strip_prefix(&format!("spiffe://{TRUST_DOMAIN}")).map(str::to_owned) else { return };
    let id_on_the_wire = Some(Spiffeid { trust_domain: TRUST_DOMAIN.to_owned(), path });
    match answered(AgentClient::new(admin(server)).ban_agent(BanAgentRequest { id: id_on_the_wire })).await {
        Answer::Done(()) => {
            let mut ledger = world.ledger();
            ledger.count("bans");
            ledger.agents.ban(&id);
        }
        // It counts for nothing from now on, whatever it holds.
        Answer::Unknown => world.ledger().agents.left(&id),
        Answer::Refused(_) => {}
    }
}

/// Prepares, waits until everybody knows, activates. Everything through one server, which knows what it was told.
async fn rotate(world: &World, server: usize) {
    let channel = admin(server);
    let mut authorities = AuthoritiesClient::new(channel.clone());
    let mut local = LocalAuthorityClient::new(channel);
    let Answer::Done(before) = answered(authorities.status(AuthorityStatusRequest::default())).await else { return };
    let now = world.time.now().as_secs();
    let half_life = i64::try_from(world.plan.ca_ttl.as_secs() / 2).unwrap_or(i64::MAX);
    let active = before.authorities.iter().find(|it| it.kind == "x509" && it.slot == "active");
    // An older one rotates by itself, and not for longer than a bound does that wait for anybody.
    if active.is_none_or(|active| active.not_after - now < half_life) {
        return;
    }
    let Answer::Done(prepared) = answered(local.prepare_x509_authority(PrepareX509AuthorityRequest {})).await else {
        return;
    };
    let Some(authority_id) = prepared.prepared_authority.map(|prepared| prepared.authority_id) else { return };
    world.ledger().count("authorities prepared by hand");
    let begun = world.elapsed();
    while world.is_loaded() && world.elapsed().saturating_sub(begun) < WAIT_MAX {
        let Answer::Done(status) = answered(authorities.status(AuthorityStatusRequest::default())).await else {
            return;
        };
        let known = status.acknowledgements.unwrap_or_default();
        tracing::info!(?known, "waiting for acknowledgements");
        if known.missing == 0 && !known.untracked {
            let request = ActivateX509AuthorityRequest { authority_id };
            if matches!(answered(local.activate_x509_authority(request)).await, Answer::Done(_)) {
                world.ledger().count("authorities activated by hand");
            }
            return;
        }
        sleep(LOOK_AGAIN).await;
    }
}

const WAIT_MAX: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
