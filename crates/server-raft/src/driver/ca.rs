//! The life of the signing authorities. Every step is one command, so a new leader resumes in the middle.

use std::sync::Arc;
use std::time::Duration;

use steeple_ca::lifecycle::{AckState, RECHECK_MAX, Step, plan};
use steeple_core::{AuthorityId, AuthorityKind, Clock, Timestamp, rpc_code_name};
use steeple_state::{CommandKind, Outcome};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::ca_log::Slot;
use super::{StepError, ca_log, propose, rest, until_leader};
use crate::issue::AuthorityMaker;
use crate::metrics;

pub struct CaDriver {
    pub maker: Arc<AuthorityMaker>,
    pub clock: Arc<dyn Clock>,
    /// Kinds that this server issues: JWT is missing under `disable_jwt_svids`.
    pub kinds: Vec<AuthorityKind>,
}

impl CaDriver {
    /// Runs until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let replica = &self.maker.replica;
        while until_leader(replica, &stop).await.is_some() {
            let pause = self.step().await;
            if !rest(replica, pause, &stop).await {
                return;
            }
        }
    }

    /// Carries out at most one step for each kind and says how long nothing falls due. No kind waits for another: an
    /// upstream authority that is away keeps no JWT key from its turn.
    async fn step(&self) -> Duration {
        let mut pause = RECHECK_MAX;
        for kind in &self.kinds {
            let now = self.clock.now();
            let plan = {
                let state = self.maker.replica.state().read();
                plan(now, *kind, &self.maker.policy, state.authorities(*kind), AckState::NotTracked)
            };
            let next = match plan.step {
                None => plan.wake_at.since(now),
                Some(step) => match self.perform(now, *kind, step).await {
                    Ok(()) => Duration::ZERO,
                    Err(error) => {
                        tracing::error!(error = %error, "CA rotation step failed");
                        RETRY_PAUSE
                    }
                },
            };
            pause = pause.min(next);
        }
        pause
    }

    async fn perform(&self, now: Timestamp, kind: AuthorityKind, step: Step) -> Result<(), StepError> {
        match step {
            Step::Prepare(kind) => {
                let timer = metrics::preparation(kind);
                let prepared = self.prepare(now, kind).await;
                timer.done(rpc_code_name(prepared.as_ref().map_or(Code::Unknown, |_| Code::Ok) as i32));
                prepared.map(|_| ())
            }
            Step::Activate(id) => self.activate(now, kind, id).await,
            Step::Forget(id) => {
                let forget = CommandKind::ForgetAuthority { kind, id: id.clone() };
                propose(&self.maker.replica, ACTOR, forget).await?;
                ca_log::forgotten(kind, &id);
                Ok(())
            }
        }
    }

    /// Makes a key and an authority and publishes its public half.
    pub async fn prepare(&self, now: Timestamp, kind: AuthorityKind) -> Result<AuthorityId, StepError> {
        let made = self.maker.make(now, kind).await?;
        let authority = made.authority.clone();
        let is_first = self.maker.replica.state().read().active_authority(kind).is_none();
        propose(&self.maker.replica, ACTOR, made.into_command()).await?;
        ca_log::prepared(&authority, if is_first { Slot::Current } else { Slot::Next });
        Ok(authority.id)
    }

    /// Lets the prepared authority sign.
    pub async fn activate(&self, now: Timestamp, kind: AuthorityKind, id: AuthorityId) -> Result<(), StepError> {
        let activate = CommandKind::ActivateAuthority { kind, id: id.clone() };
        if let Outcome::Authority { not_after, .. } = propose(&self.maker.replica, ACTOR, activate).await? {
            metrics::activated(kind, &self.maker.trust_domain, now, not_after);
        }
        let active = self.maker.replica.state().read().active_authority(kind).filter(|active| active.id == id).cloned();
        if let Some(authority) = active {
            ca_log::activated(&authority);
        }
        Ok(())
    }
}

/// How the log's reader sees what this driver proposes.
const ACTOR: &str = "ca driver";
const RETRY_PAUSE: Duration = Duration::from_secs(1);
