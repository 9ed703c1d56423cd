//! Removes what has expired: entries, join tokens, agents where configured, and old authorities from the bundle.

use std::sync::Arc;
use std::time::Duration;

use steeple_ca::certificate;
use steeple_core::{Clock, Timestamp};
use steeple_state::{CommandKind, Outcome};
use tokio_util::sync::CancellationToken;

use super::{StepError, propose, rest, until_leader};
use crate::raft::Replica;

/// `prune_attested_nodes_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneAgents {
    pub expired_for: Duration,
    pub batch_size: u32,
    pub include_tofu: bool,
}

pub struct PruneDriver {
    pub replica: Replica,
    pub clock: Arc<dyn Clock>,
    /// None keeps expired agents.
    pub agents: Option<PruneAgents>,
}

impl PruneDriver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while until_leader(&self.replica, &stop).await.is_some() {
            if let Err(error) = self.round().await {
                tracing::error!(error = %error, "pruning failed");
            }
            if !rest(&self.replica, INTERVAL, &stop).await {
                return;
            }
        }
    }

    async fn round(&self) -> Result<(), StepError> {
        let now = self.clock.now();
        self.repeat("registration entries", CommandKind::PruneEntries { before: now.as_secs() }).await?;
        self.repeat("join tokens", CommandKind::PruneJoinTokens { before: now.as_secs() }).await?;
        if let Some(agents) = self.agents {
            let command = CommandKind::PruneAgents {
                expired_before: now.saturating_sub(agents.expired_for).as_secs(),
                include_tofu: agents.include_tofu,
                items_max: agents.batch_size,
            };
            // One batch a round, as SPIRE does it.
            propose(&self.replica, ACTOR, command).await?;
        }
        self.prune_bundle(now).await
    }

    async fn repeat(&self, what: &'static str, command: CommandKind) -> Result<(), StepError> {
        for _ in 0..BATCHES_MAX {
            match propose(&self.replica, ACTOR, command.clone()).await? {
                Outcome::Pruned { items, more } => {
                    if items > 0 {
                        tracing::info!(count = items, "pruned expired {what}");
                    }
                    if !more {
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Nothing is proposed while nothing in the bundle has expired.
    async fn prune_bundle(&self, now: Timestamp) -> Result<(), StepError> {
        let before = now.saturating_sub(KEEP_EXPIRED).as_secs();
        let (roots, keys) = {
            let state = self.replica.state().read();
            let Some(bundle) = state.own_bundle() else { return Ok(()) };
            let roots: Vec<Vec<u8>> = bundle
                .x509_authorities
                .iter()
                .filter(|root| not_after(&root.der).is_some_and(|at| at < before))
                .map(|root| root.der.clone())
                .collect();
            let mut keys = bundle.jwt_authorities.iter().chain(&bundle.wit_authorities);
            let keys = keys.any(|key| key.expires_at != 0 && key.expires_at < before);
            (roots, keys)
        };
        if roots.is_empty() && !keys {
            return Ok(());
        }
        let command = CommandKind::PruneBundle { x509_authorities: roots, jwt_expired_before: before };
        propose(&self.replica, ACTOR, command).await.map(|_| ())
    }
}

fn not_after(der: &[u8]) -> Option<i64> {
    certificate::facts(der).map(|facts| facts.not_after.as_secs())
}

const ACTOR: &str = "prune driver";
/// SPIRE prunes entries every five minutes; a minute costs nothing where the state is in memory.
const INTERVAL: Duration = Duration::from_secs(60);
/// An authority stays in the bundle for a day after its end (SPIRE behaviour).
const KEEP_EXPIRED: Duration = Duration::from_secs(24 * 3600);
/// Commands in one round: whatever is left waits for the next.
const BATCHES_MAX: usize = 100;
