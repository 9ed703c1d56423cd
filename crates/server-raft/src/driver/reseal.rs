//! After a rotation of the keyring: what lies under an older data key is sealed anew, one key a command, then the older
//! data keys are dropped. The plan is made from the state, so nothing is lost with a leader.

use std::sync::Arc;
use std::time::Duration;

use steeple_ca::seal::SealedKeyring;
use steeple_state::CommandKind;
use tokio_util::sync::CancellationToken;

use super::{StepError, propose, rest, until_leader};
use crate::issue::{AuthorityKeys, KeysError};
use crate::peer::{AuthorityError, PeerCaContent};
use crate::raft::Replica;
use crate::seal::{Place, Standing, StandingError, Step, open_web_key, seal_web_key};

pub struct ResealDriver {
    pub replica: Replica,
    pub keys: Arc<AuthorityKeys>,
}

#[derive(Debug, thiserror::Error)]
enum ResealError {
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    PeerCa(#[from] AuthorityError),
    #[error(transparent)]
    Seal(#[from] steeple_ca::seal::SealError),
    #[error(transparent)]
    Standing(#[from] StandingError),
    #[error(transparent)]
    Step(#[from] StepError),
}

impl ResealDriver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while until_leader(&self.replica, &stop).await.is_some() {
            let pause = match self.step().await {
                Ok(true) => Duration::ZERO,
                Ok(false) | Err(ResealError::Standing(StandingError::NoKeyring)) => LOOK_AGAIN,
                Err(error) => {
                    tracing::warn!(%error, "sealing the private keys anew is not done yet, trying again");
                    LOOK_AGAIN
                }
            };
            if !rest(&self.replica, pause, &stop).await {
                return;
            }
        }
    }

    /// False when there is nothing to do.
    async fn step(&self) -> Result<bool, ResealError> {
        let Some((step, command)) = self.next()? else { return Ok(false) };
        propose(&self.replica, ACTOR, command).await?;
        match step {
            Step::Reseal(place) => tracing::info!(?place, "a private key was sealed anew"),
            Step::DropOlder => tracing::info!("every private key is sealed anew; the older data keys are gone"),
        }
        Ok(true)
    }

    /// Made from one instant of the state, and refused if that changes before it is applied.
    fn next(&self) -> Result<Option<(Step, CommandKind)>, ResealError> {
        let state = self.replica.state().read();
        let Some(step) = Standing::of(&state)?.next() else { return Ok(None) };
        let command = match &step {
            Step::Reseal(Place::Authority { kind, id }) => {
                let set = state.authorities(*kind);
                let found = [&set.active, &set.next].into_iter().flatten().find(|authority| authority.id == *id);
                let Some(authority) = found else { return Ok(None) };
                let keyring = self.keys.keyring(&state)?;
                let secret = keyring.open((*kind).into(), id, &authority.key)?;
                let key = keyring.seal((*kind).into(), id, &secret)?;
                let expected_term = authority.key.keyring_term;
                CommandKind::ResealAuthority { kind: *kind, id: id.clone(), key, expected_term }
            }
            Step::Reseal(Place::PeerCa) => {
                let Some(sealed) = state.peer_ca() else { return Ok(None) };
                let content = PeerCaContent::decode(&sealed.content)?.resealed(self.keys.keyring(&state)?.as_ref())?;
                CommandKind::SetPeerCa { content: content.encode(), expected_revision: sealed.revision }
            }
            Step::Reseal(Place::Web(name)) => {
                let Some(sealed) = state.web_key(name) else { return Ok(None) };
                let keyring = self.keys.keyring(&state)?;
                let key = seal_web_key(&keyring, name, &open_web_key(&keyring, name, sealed)?)?;
                CommandKind::ResealWebKey { name: name.clone(), key, expected_term: sealed.keyring_term }
            }
            Step::DropOlder => {
                let Some(sealed) = state.keyring() else { return Ok(None) };
                let content = SealedKeyring::decode(&sealed.content)?.without_older();
                CommandKind::SetKeyring { content: content.encode(), expected_revision: sealed.revision }
            }
        };
        Ok(Some((step, command)))
    }
}

/// How the log's reader sees what this driver proposes.
const ACTOR: &str = "reseal driver";
/// A look at a few hundred bytes in memory.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
