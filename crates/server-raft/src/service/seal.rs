//! `steeple.server.v1.Seal`: the keys that seal private keys, and their rotation.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use steeple_api::steeple::server::seal_server::Seal as SealApi;
use steeple_api::steeple::server::*;
use steeple_ca::seal::SealedKeyring;
use steeple_state::{CommandKind, State};
use tonic::{Request, Response, Status};

use super::shared::Shared;
use crate::authz::authorized;
use crate::seal::{Standing, StandingError};

pub struct SealService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl SealApi for SealService {
    async fn status(&self, _request: Request<SealStatusRequest>) -> Result<Response<SealStatusResponse>, Status> {
        let view = self.shared.held().await?;
        self.answer(&view.state())
    }

    async fn rotate(&self, request: Request<RotateSealRequest>) -> Result<Response<SealStatusResponse>, Status> {
        let caller = authorized(&request)?;
        let term = request.into_inner().term;
        let view = self.shared.fresh().await?;
        let command = self.rotation(&view.state(), term)?;
        self.shared.propose(&caller, command).await?;
        tracing::info!(term, "the keyring was rotated: a new root key, and a new data key");
        self.answer(&self.shared.fresh().await?.state())
    }
}

impl SealService {
    fn answer(&self, state: &State) -> Result<Response<SealStatusResponse>, Status> {
        let standing = Standing::of(state).map_err(failed)?;
        let sealed = self.shared.sealing_key.get().err();
        Ok(Response::new(SealStatusResponse {
            sealed_because: sealed.map(|sealed| sealed.to_string()).unwrap_or_default(),
            private_keys: standing.private_keys.len() as u32,
            sealed_in_term: standing.sealed_in_term() as u32,
            sealing_key_id: standing.sealing_key_id,
            term: standing.term,
            terms: standing.terms,
        }))
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
        let key = self.shared.unsealed()?;
        let rotated = SealedKeyring::decode(&sealed.content)
            .and_then(|keyring| keyring.rotate(&key, &cluster.uuid, &SystemRandom::new()));
        let content = rotated.map_err(|error| failed(error.into()))?.encode();
        Ok(CommandKind::SetKeyring { content, expected_revision: sealed.revision })
    }
}

fn failed(error: StandingError) -> Status {
    match error {
        StandingError::NoKeyring => Status::unavailable(error.to_string()),
        StandingError::Seal(_) | StandingError::PeerCa(_) => Status::internal(error.to_string()),
    }
}
