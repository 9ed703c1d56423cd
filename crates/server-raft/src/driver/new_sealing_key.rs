//! Replaces the sealing key of the cluster once it is asked for: a new one is made and offered, and when every member
//! keeps it the root key is wrapped by it, in one command. A member that is away or sealed holds it up, because it
//! could open nothing afterwards. The plan is made from the state, so nothing is lost with a leader.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use steeple_ca::seal::{NextSealingKey, SealError, SealedKeyring, SealingKey};
use steeple_state::CommandKind;
use tokio_util::sync::CancellationToken;

use super::{StepError, propose, rest, until_leader};
use crate::raft::Replica;
use crate::seal::{KeyInUse, MemberKey, NewKeyStep, ServerSealed, next_step};

pub struct NewSealingKeyDriver {
    pub replica: Replica,
    pub sealing_key: KeyInUse,
}

#[derive(Debug, thiserror::Error)]
enum NewKeyError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Sealed(#[from] ServerSealed),
    #[error(transparent)]
    Step(#[from] StepError),
}

/// A keyring with a key to come, as it stands in the state.
struct Changing {
    keyring: SealedKeyring,
    next: NextSealingKey,
    revision: u64,
    cluster: [u8; 16],
}

impl NewSealingKeyDriver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut told = Vec::new();
        while until_leader(&self.replica, &stop).await.is_some() {
            if let Err(error) = self.step(&mut told).await {
                tracing::warn!(%error, "the sealing key is not replaced yet, trying again");
            }
            if !rest(&self.replica, LOOK_AGAIN, &stop).await {
                return;
            }
        }
    }

    /// `told`: for whom the log's reader knows already that it waits.
    async fn step(&self, told: &mut Vec<(u64, String)>) -> Result<(), NewKeyError> {
        let Some(changing) = self.changing()? else {
            told.clear();
            return Ok(());
        };
        let offered = changing.next.id();
        let members = self.replica.sealing_key_members(offered);
        let at_hand = offered.and_then(|id| self.sealing_key.named(id));
        match (next_step(&changing.next, &members, at_hand.is_some()), at_hand) {
            (NewKeyStep::Make, _) => self.offer(&changing).await,
            (NewKeyStep::Replace { held_by }, Some(key)) => self.replace(&changing, &key, held_by).await,
            (NewKeyStep::Replace { .. } | NewKeyStep::Wait, _) => {
                tell(told, &members);
                Ok(())
            }
        }
    }

    fn changing(&self) -> Result<Option<Changing>, NewKeyError> {
        let state = self.replica.state().read();
        let (Some(sealed), Some(cluster)) = (state.keyring(), state.cluster()) else { return Ok(None) };
        let keyring = SealedKeyring::decode(&sealed.content)?;
        let next = keyring.next().cloned();
        Ok(next.map(|next| Changing { keyring, next, revision: sealed.revision, cluster: cluster.uuid }))
    }

    /// Made in memory first. It is written to a disk, this server's too, once the log says that it is offered.
    async fn offer(&self, changing: &Changing) -> Result<(), NewKeyError> {
        let key = Arc::new(SealingKey::generate(&SystemRandom::new())?);
        let id = key.id()?;
        self.sealing_key.hold(key);
        let content = changing.keyring.with_next(Some(NextSealingKey::Offered(id.clone()))).encode();
        let command = CommandKind::SetKeyring { content, expected_revision: changing.revision };
        propose(&self.replica, ACTOR, command).await?;
        tracing::info!(sealing_key_id = id, "a new sealing key is made, and every member is to keep it");
        Ok(())
    }

    async fn replace(&self, changing: &Changing, new: &SealingKey, held_by: Vec<u64>) -> Result<(), NewKeyError> {
        let old = match self.sealing_key.named(changing.keyring.sealing_key_id()) {
            Some(old) => old,
            None => self.sealing_key.first()?,
        };
        let content = changing.keyring.rewrap(&old, new, &changing.cluster)?.encode();
        let command = CommandKind::ReplaceSealingKey { content, expected_revision: changing.revision, held_by };
        propose(&self.replica, ACTOR, command).await?;
        let (before, now) = (old.id()?, new.id()?);
        tracing::info!(before, now, "every member keeps the new sealing key, and it is in force");
        Ok(())
    }
}

/// One line for each member and reason.
fn tell(told: &mut Vec<(u64, String)>, members: &[MemberKey]) {
    let waits = |member: &MemberKey| Some((member.node_id, member.holding.waits_because()?));
    let waiting: Vec<(u64, String)> = members.iter().filter_map(waits).collect();
    for (node_id, reason) in waiting.iter().filter(|wait| !told.contains(wait)) {
        tracing::info!(node_id, reason, "the new sealing key waits for a member");
    }
    *told = waiting;
}

/// How the log's reader sees what this driver proposes.
const ACTOR: &str = "sealing key driver";
/// A look at the members' latest answers, which come once a second.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
