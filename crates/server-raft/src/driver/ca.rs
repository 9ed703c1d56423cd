//! The life of the signing authorities. Every step is one command, so a new leader resumes in the middle.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use steeple_ca::lifecycle::{AckState, RECHECK_MAX, Step, plan};
use steeple_ca::policy::Policy;
use steeple_ca::{CaRequest, Serial, SigningKey, generate_pkcs8, random_key_id, self_signed_ca};
use steeple_core::{
    Authority, AuthorityId, AuthorityKind, AuthorityStatus, Clock, KeyType, Secret, Timestamp, TrustDomain,
    rpc_code_name,
};
use steeple_state::{CommandKind, Outcome};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{StepError, propose, rest, until_leader};
use crate::issue::{AuthorityKeys, record_type};
use crate::metrics;
use crate::raft::Replica;

pub struct CaDriver {
    pub replica: Replica,
    pub keys: Arc<AuthorityKeys>,
    pub policy: Policy,
    pub trust_domain: TrustDomain,
    pub clock: Arc<dyn Clock>,
    /// Kinds that this server issues: JWT is missing under `disable_jwt_svids`.
    pub kinds: Vec<AuthorityKind>,
}

impl CaDriver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        while until_leader(&self.replica, &stop).await.is_some() {
            let pause = match self.step().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(error = %error, "CA rotation step failed");
                    RETRY_PAUSE
                }
            };
            if !rest(&self.replica, pause, &stop).await {
                return;
            }
        }
    }

    /// Carries out at most one step for each kind and says how long nothing falls due.
    async fn step(&self) -> Result<Duration, StepError> {
        let mut pause = RECHECK_MAX;
        for kind in &self.kinds {
            let now = self.clock.now();
            let plan = {
                let state = self.replica.state().read();
                plan(now, *kind, &self.policy, state.authorities(*kind), AckState::NotTracked)
            };
            match plan.step {
                Some(step) => {
                    self.perform(now, *kind, step).await?;
                    pause = Duration::ZERO;
                }
                None => pause = pause.min(plan.wake_at.since(now)),
            }
        }
        Ok(pause)
    }

    async fn perform(&self, now: Timestamp, kind: AuthorityKind, step: Step) -> Result<(), StepError> {
        match step {
            Step::Prepare(kind) => {
                let timer = metrics::preparation(kind);
                let prepared = self.prepare(now, kind).await;
                timer.done(rpc_code_name(prepared.as_ref().map_or(Code::Unknown, |_| Code::Ok) as i32));
                prepared.map(|_| ())
            }
            Step::Activate(id) => {
                let outcome =
                    propose(&self.replica, ACTOR, CommandKind::ActivateAuthority { kind, id: id.clone() }).await?;
                if let Outcome::Authority { not_after, .. } = outcome {
                    metrics::activated(kind, &self.trust_domain, now, not_after);
                }
                tracing::info!(local_authority_id = %id, "{} activated", noun(kind));
                Ok(())
            }
            Step::Forget(id) => {
                propose(&self.replica, ACTOR, CommandKind::ForgetAuthority { kind, id: id.clone() }).await?;
                tracing::info!(local_authority_id = %id, "{} forgotten", noun(kind));
                Ok(())
            }
        }
    }

    /// Makes a key and an authority and publishes its public half.
    pub async fn prepare(&self, now: Timestamp, kind: AuthorityKind) -> Result<AuthorityId, StepError> {
        let authority = make(&self.replica, &self.keys, &self.policy, &self.trust_domain, now, kind)?;
        let (id, not_after) = (authority.id.clone(), authority.not_after);
        let command = CommandKind::PrepareAuthority { authority: Box::new(authority), upstream_roots: Vec::new() };
        propose(&self.replica, ACTOR, command).await?;
        tracing::info!(local_authority_id = %id, expiration = %not_after, "{} prepared", noun(kind));
        Ok(id)
    }
}

/// A fresh authority with its private key sealed, ready to be proposed.
pub fn make(
    replica: &Replica,
    keys: &AuthorityKeys,
    policy: &Policy,
    trust_domain: &TrustDomain,
    now: Timestamp,
    kind: AuthorityKind,
) -> Result<Authority, StepError> {
    let key_type = match kind {
        AuthorityKind::X509 => policy.ca_key_type,
        AuthorityKind::Jwt => policy.jwt_key_type,
    };
    let pkcs8: Secret = generate_pkcs8(key_type)?;
    let key = SigningKey::from_pkcs8(&pkcs8)?;
    let (id, certificate, not_after) = match kind {
        AuthorityKind::X509 => {
            let serial = Serial::random(&SystemRandom::new())?;
            let request = CaRequest { trust_domain, subject: &policy.ca_subject, serial, ttl: policy.ca_ttl };
            let certificate = self_signed_ca(now, &key, request)?;
            (certificate.authority_id, certificate.der, certificate.not_after)
        }
        AuthorityKind::Jwt => {
            let not_after = Timestamp::from_secs(now.saturating_add(policy.ca_ttl).as_secs());
            (random_key_id(&SystemRandom::new())?, Vec::new(), not_after)
        }
    };
    let keyring = keys.keyring(&replica.state().read())?;
    let sealed = keyring.seal(record_type(kind), &id, &pkcs8)?;
    Ok(Authority {
        id,
        kind,
        status: AuthorityStatus::Prepared,
        key_type: key_type as KeyType,
        issued_at: now,
        not_after,
        certificate,
        upstream_chain: Vec::new(),
        upstream_authority_id: String::new(),
        public_key: key.public_key().spki().to_vec(),
        key: sealed,
    })
}

fn noun(kind: AuthorityKind) -> &'static str {
    match kind {
        AuthorityKind::X509 => "X509 CA",
        AuthorityKind::Jwt => "JWT key",
    }
}

/// How the log's reader sees what this driver proposes.
const ACTOR: &str = "ca driver";
const RETRY_PAUSE: Duration = Duration::from_secs(1);
