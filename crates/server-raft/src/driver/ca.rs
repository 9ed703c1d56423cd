//! The life of the signing authorities. Every step is one command, so a new leader resumes in the middle.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use steeple_ca::lifecycle::{AckState, RECHECK_MAX, Step, Wait, activation, plan};
use steeple_core::{AuthorityId, AuthorityKind, Clock, Timestamp, rpc_code_name};
use steeple_state::{CommandKind, Outcome};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::ca_log::Slot;
use super::{StepError, ca_log, propose, rest, until_leader};
use crate::acknowledgement::gather;
use crate::issue::AuthorityMaker;
use crate::metrics;

pub struct CaDriver {
    pub maker: Arc<AuthorityMaker>,
    pub clock: Arc<dyn Clock>,
    /// Kinds that this server cares for; those that the cluster version does not have yet wait for it.
    pub kinds: Vec<AuthorityKind>,
}

impl CaDriver {
    /// Runs until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let replica = &self.maker.replica;
        // Authorities whose wait is in the log already.
        let mut told = BTreeSet::new();
        let mut told_held_back = false;
        while until_leader(replica, &stop).await.is_some() {
            let held_back = self.kinds.iter().find(|kind| !replica.state().read().permits(**kind));
            if let Some(kind) = held_back.filter(|_| !told_held_back) {
                ca_log::held_back(*kind);
                told_held_back = true;
            }
            let pause = self.step(&mut told).await;
            if !rest(replica, pause, &stop).await {
                return;
            }
            if !replica.leadership().borrow().is_leader {
                told.clear();
                self.kinds.iter().for_each(|kind| metrics::activation_waits(*kind, 0, None));
            }
        }
    }

    /// Carries out at most one step for each kind and says how long nothing falls due. No kind waits for another: an
    /// upstream authority that is away keeps no JWT key from its turn.
    pub async fn step(&self, told: &mut BTreeSet<AuthorityId>) -> Duration {
        let mut pause = RECHECK_MAX;
        let acks = self.acknowledgements().await;
        for kind in &self.kinds {
            let now = self.clock.now();
            if !self.maker.replica.state().read().permits(*kind) {
                continue;
            }
            let (plan, activation) = {
                let state = self.maker.replica.state().read();
                let set = state.authorities(*kind);
                (plan(now, *kind, &self.maker.policy, set, acks), activation(&self.maker.policy, set))
            };
            let missing = activation.map_or(0, |_| acks.missing());
            metrics::activation_waits(*kind, missing, activation.map(|activation| activation.until));
            let next = match plan.step {
                None => {
                    if let Some(wait) = plan.wait {
                        self.tell(*kind, wait, told);
                        pause = pause.min(ACK_RECHECK);
                    }
                    plan.wake_at.since(now)
                }
                Some(step) => match self.perform(now, *kind, step.clone()).await {
                    Ok(()) => {
                        if let Step::Activate(id) = &step {
                            told.remove(id);
                            if missing > 0 {
                                metrics::activated_without(*kind);
                                ca_log::missing(*kind, id, missing);
                            }
                        }
                        Duration::ZERO
                    }
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

    /// Who holds the bundle is asked while an authority in it waits for its turn.
    async fn acknowledgements(&self) -> AckState {
        let replica = &self.maker.replica;
        let waits = {
            let state = replica.state().read();
            self.kinds.iter().any(|kind| state.authorities(*kind).prepared().is_some())
        };
        if waits { gather(replica).await.tally.state() } else { AckState::NotTracked }
    }

    fn tell(&self, kind: AuthorityKind, wait: Wait, told: &mut BTreeSet<AuthorityId>) {
        let prepared = self.maker.replica.state().read().authorities(kind).prepared().map(|next| next.id.clone());
        let Some(id) = prepared.filter(|id| !told.contains(id)) else { return };
        ca_log::waits(kind, &id, &wait);
        told.insert(id);
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
            ca_log::activated(&authority, &self.maker.trust_domain, now);
        }
        Ok(())
    }
}

/// How the log's reader sees what this driver proposes.
const ACTOR: &str = "ca driver";
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// While an activation waits for nothing but acknowledgements.
const ACK_RECHECK: Duration = Duration::from_secs(1);
