//! `steeple.server.v1.Seal`: the keys that seal private keys, and how they are replaced.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use steeple_api::steeple::server::seal_server::Seal as SealApi;
use steeple_api::steeple::server::*;
use steeple_ca::seal::{NextSealingKey, SealedKeyring};
use steeple_state::{CommandKind, State};
use tonic::{Request, Response, Status};

use super::shared::{Shared, View};
use crate::authz::authorized;
use crate::seal::{MemberKey, Standing, StandingError};

pub struct SealService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl SealApi for SealService {
    async fn status(&self, _request: Request<SealStatusRequest>) -> Result<Response<SealStatusResponse>, Status> {
        let view = self.shared.held().await?;
        self.answer(&view)
    }

    async fn rotate(&self, request: Request<RotateSealRequest>) -> Result<Response<SealStatusResponse>, Status> {
        let caller = authorized(&request)?;
        let term = request.into_inner().term;
        let view = self.shared.fresh().await?;
        let command = self.rotation(&view.state(), term)?;
        self.shared.propose(&caller, command).await?;
        tracing::info!(term, "the keyring was rotated: a new root key, and a new data key");
        self.answer(&self.shared.fresh().await?)
    }

    async fn new_key(&self, request: Request<NewSealingKeyRequest>) -> Result<Response<SealStatusResponse>, Status> {
        let caller = authorized(&request)?;
        let expected = request.into_inner().sealing_key_id;
        self.shared.unsealed()?;
        let view = self.shared.fresh().await?;
        let command = wanted(&view.state(), &expected)?;
        if let Some(command) = command {
            self.shared.propose(&caller, command).await?;
            tracing::info!(sealing_key_id = expected, "a new sealing key is wanted");
        }
        self.answer(&self.shared.fresh().await?)
    }

    async fn cancel_new_key(
        &self,
        request: Request<CancelNewSealingKeyRequest>,
    ) -> Result<Response<SealStatusResponse>, Status> {
        let caller = authorized(&request)?;
        self.shared.unsealed()?;
        let view = self.shared.fresh().await?;
        let command = given_up(&view.state())?;
        self.shared.propose(&caller, command).await?;
        tracing::info!("the new sealing key was given up");
        self.answer(&self.shared.fresh().await?)
    }
}

impl SealService {
    fn answer(&self, view: &View) -> Result<Response<SealStatusResponse>, Status> {
        // The members below are read for themselves.
        let standing = Standing::of(&view.state()).map_err(failed)?;
        let sealed = self.shared.sealing_key.check().err();
        Ok(Response::new(SealStatusResponse {
            sealed_because: sealed.map(|sealed| sealed.to_string()).unwrap_or_default(),
            private_keys: standing.private_keys.len() as u32,
            sealed_in_term: standing.sealed_in_term() as u32,
            sealing_key_id: standing.sealing_key_id,
            term: standing.term,
            terms: standing.terms,
            new_key: standing.next_sealing_key.as_ref().map(|next| self.new_key_of(next)),
        }))
    }

    fn new_key_of(&self, next: &NextSealingKey) -> NewSealingKey {
        let members = self.shared.replica.sealing_key_members(next.id());
        let key_id = next.id().unwrap_or_default().to_owned();
        NewSealingKey { key_id, members: members.into_iter().map(SealingKeyMember::from).collect() }
    }

    fn rotation(&self, state: &State, term: u64) -> Result<CommandKind, Status> {
        let standing = Standing::of(state).map_err(failed)?;
        if standing.term != term {
            let now = standing.term;
            return Err(Status::aborted(format!("term {now} seals by now, expected {term}: see `seal rotate`")));
        }
        if !standing.is_settled() {
            return Err(Status::failed_precondition("a rotation is under way: run `seal rotate` to follow it"));
        }
        let (Some(sealed), Some(cluster)) = (state.keyring(), state.cluster()) else {
            return Err(failed(StandingError::NoKeyring));
        };
        let key = self.shared.sealing_key.of(state).map_err(|sealed| Status::unavailable(sealed.to_string()))?;
        let rotated = SealedKeyring::decode(&sealed.content)
            .and_then(|keyring| keyring.rotate(&key, &cluster.uuid, &SystemRandom::new()));
        let content = rotated.map_err(|error| failed(error.into()))?.encode();
        Ok(CommandKind::SetKeyring { content, expected_revision: sealed.revision })
    }
}

/// `None` where one is under way already.
fn wanted(state: &State, expected: &str) -> Result<Option<CommandKind>, Status> {
    let (keyring, revision) = stored(state)?;
    let now = keyring.sealing_key_id();
    if now != expected {
        let message = format!("the sealing key is {now} by now, expected {expected}: see `seal status`");
        return Err(Status::aborted(message));
    }
    Ok(match keyring.next() {
        Some(_) => None,
        None => {
            let content = keyring.with_next(Some(NextSealingKey::Wanted)).encode();
            Some(CommandKind::SetKeyring { content, expected_revision: revision })
        }
    })
}

fn given_up(state: &State) -> Result<CommandKind, Status> {
    let (keyring, expected_revision) = stored(state)?;
    if keyring.next().is_none() {
        let now = keyring.sealing_key_id();
        let message = format!("no new sealing key is under way, {now} is in force: see `seal status`");
        return Err(Status::failed_precondition(message));
    }
    Ok(CommandKind::SetKeyring { content: keyring.with_next(None).encode(), expected_revision })
}

fn stored(state: &State) -> Result<(SealedKeyring, u64), Status> {
    let sealed = state.keyring().ok_or_else(|| failed(StandingError::NoKeyring))?;
    let keyring = SealedKeyring::decode(&sealed.content).map_err(|error| failed(error.into()))?;
    Ok((keyring, sealed.revision))
}

fn failed(error: StandingError) -> Status {
    match error {
        StandingError::NoKeyring => Status::unavailable(error.to_string()),
        StandingError::Seal(_) | StandingError::PeerCa(_) => Status::internal(error.to_string()),
    }
}

impl From<MemberKey> for SealingKeyMember {
    fn from(member: MemberKey) -> Self {
        let waits_because = member.holding.waits_because();
        Self {
            node_id: member.node_id,
            name: member.name,
            holds: waits_because.is_none(),
            waits_because: waits_because.unwrap_or_default(),
        }
    }
}
