//! The life of the agent's SVID.

use std::sync::Arc;
use std::time::Duration;

use ::metrics::gauge;
use steeple_core::plugin::{AgentNodeAttestor, KeyManager};
use steeple_core::{Bundle, Clock, Secret, TrustDomain};
use steeple_transport::tls::{Identity, IdentitySink as _, IdentityStore, SharedRoots, TrustRoots};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::renew::renew;
use super::{AgentSvid, AttestFailure, IdentityError, attest};
use crate::bootstrap::FirstContact;
use crate::data::{AgentData, DataError, DataFile};
use crate::metrics;
use crate::sync::{fetch_anonymous_bundle, is_tainted, random_fraction, tainted_key_ids};
use crate::upstream::{Reaction, Upstream, UpstreamError, reaction};

/// A refusal that concerns the agent itself, noticed by any of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Banned,
    MustReattest,
    UnknownAuthority,
}

/// Why the agent ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("Agent is banned: removing SVID and shutting down")]
    Banned,
    #[error("Agent needs to re-attest and its attestation cannot be repeated: removing SVID and shutting down")]
    CannotReattest,
    #[error("the agent's SVID has expired and could not be renewed")]
    Expired,
    #[error("no root that this agent trusts signed the server's certificate")]
    UnknownAuthority,
    #[error("node attestation failed: {0}")]
    Attestation(#[from] AttestFailure),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("own SVID cannot be used: {0}")]
    Publish(#[from] steeple_transport::tls::IdentityError),
    #[error("bundle cannot be used: {0}")]
    Roots(#[from] steeple_transport::tls::RootsError),
    #[error("failed to get the bundle after attestation: {0}")]
    Bundle(#[from] crate::sync::FetchError),
}

impl Trouble {
    pub fn of(status: &Status) -> Option<Self> {
        match reaction(status) {
            Reaction::Banned => Some(Self::Banned),
            Reaction::Reattest => Some(Self::MustReattest),
            Reaction::UnknownAuthority => Some(Self::UnknownAuthority),
            Reaction::Retry | Reaction::TryAnother => None,
        }
    }
}

pub struct IdentityDriver {
    pub trust_domain: TrustDomain,
    pub upstream: Arc<Upstream>,
    pub attestor: Arc<dyn AgentNodeAttestor>,
    pub keys: Arc<dyn KeyManager>,
    pub data: DataFile,
    pub roots: SharedRoots,
    pub store: Arc<IdentityStore>,
    pub first_contact: FirstContact,
    pub clock: Arc<dyn Clock>,
    /// The chain in use, for the Debug API and metrics.
    pub shown: watch::Sender<Vec<Vec<u8>>>,
    held: Option<AgentSvid>,
    bundle: Vec<Vec<u8>>,
}

/// What a driver is made of.
pub struct IdentityParts {
    pub trust_domain: TrustDomain,
    pub upstream: Arc<Upstream>,
    pub attestor: Arc<dyn AgentNodeAttestor>,
    pub keys: Arc<dyn KeyManager>,
    pub data: DataFile,
    pub roots: SharedRoots,
    pub store: Arc<IdentityStore>,
    pub first_contact: FirstContact,
    pub clock: Arc<dyn Clock>,
    pub shown: watch::Sender<Vec<Vec<u8>>>,
}

impl IdentityDriver {
    pub fn new(parts: IdentityParts) -> Self {
        let IdentityParts { trust_domain, upstream, attestor, keys, data, roots, store, first_contact, clock, shown } =
            parts;
        Self {
            trust_domain,
            upstream,
            attestor,
            keys,
            data,
            roots,
            store,
            first_contact,
            clock,
            shown,
            held: None,
            bundle: Vec::new(),
        }
    }

    /// Brings the agent to an SVID in use: from disk if it is still good, else by attesting, with retries for a minute.
    pub async fn start(&mut self) -> Result<(), Ended> {
        let stored = self.data.load()?;
        self.bundle = stored.bundle;
        if !self.bundle.is_empty() {
            self.trust(self.bundle.clone())?;
        } else if let FirstContact::Roots(roots) = &self.first_contact {
            self.trust(roots.clone())?;
        }
        let now = self.clock.now();
        let found = AgentSvid::load(stored.svid, stored.reattestable, self.keys.as_ref()).await?;
        match found.filter(|svid| svid.is_usable(now)) {
            Some(svid) if !self.bundle.is_empty() => {
                tracing::info!(spiffe_id = %svid.id, "SVID loaded");
                self.publish(svid)
            }
            _ => {
                tracing::info!("SVID is not found. Starting node attestation");
                self.attest_with_retries().await
            }
        }
    }

    /// Renews, and reacts to what other calls met. Ends when the agent has to.
    pub async fn run(
        mut self,
        mut trouble: watch::Receiver<Option<Trouble>>,
        mut bundle_arrived: watch::Receiver<Option<Arc<Bundle>>>,
        stop: CancellationToken,
    ) -> Result<(), Ended> {
        let mut pause = CHECK_INTERVAL;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = trouble.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let met = *trouble.borrow_and_update();
                    if let Some(met) = met {
                        self.react(met).await?;
                    }
                    continue;
                }
                changed = bundle_arrived.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let arrived = bundle_arrived.borrow_and_update().clone();
                    if let Some(bundle) = arrived {
                        self.keep_bundle(&bundle)?;
                    }
                    if !self.is_tainted(&bundle_arrived) {
                        continue;
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
            pause = self.renew_if_due(&bundle_arrived, pause).await?;
        }
    }

    async fn renew_if_due(
        &mut self,
        bundle: &watch::Receiver<Option<Arc<Bundle>>>,
        pause: Duration,
    ) -> Result<Duration, Ended> {
        let now = self.clock.now();
        let due = self.held.as_ref().is_none_or(|svid| now >= svid.rotate_at) || self.is_tainted(bundle);
        if !due {
            return Ok(CHECK_INTERVAL);
        }
        match self.renew_or_reattest().await {
            Ok(()) => Ok(CHECK_INTERVAL),
            Err(failure) => {
                let Some(trouble) = failure.status().and_then(Trouble::of) else {
                    tracing::warn!(error = %failure, "Failed to rotate agent SVID");
                    let expired = self.held.as_ref().is_none_or(|svid| !svid.is_usable(now));
                    return match expired {
                        true if !self.can_reattest() => Err(Ended::Expired),
                        _ => Ok((pause * 2).min(BACKOFF_MAX)),
                    };
                };
                self.react(trouble).await.map(|()| CHECK_INTERVAL)
            }
        }
    }

    async fn renew_or_reattest(&mut self) -> Result<(), AttestFailure> {
        let fresh = match &self.held {
            Some(held) if !held.reattestable => renew(&self.upstream, held, self.keys.as_ref()).await?,
            _ => self.attest_once().await?,
        };
        tracing::info!(spiffe_id = %fresh.id, "Agent SVID rotated");
        self.publish(fresh).map_err(|error| Box::new(Status::internal(error.to_string())).into())
    }

    async fn react(&mut self, trouble: Trouble) -> Result<(), Ended> {
        match trouble {
            Trouble::Banned => {
                self.forget()?;
                Err(Ended::Banned)
            }
            Trouble::UnknownAuthority => Err(Ended::UnknownAuthority),
            Trouble::MustReattest if self.can_reattest() => {
                tracing::warn!("Agent needs to re-attest; starting node attestation");
                self.attest_with_retries().await
            }
            Trouble::MustReattest => {
                self.forget()?;
                Err(Ended::CannotReattest)
            }
        }
    }

    fn can_reattest(&self) -> bool {
        self.held.as_ref().is_none_or(|svid| svid.reattestable)
    }

    fn is_tainted(&self, bundle: &watch::Receiver<Option<Arc<Bundle>>>) -> bool {
        let bundle = bundle.borrow();
        let (Some(bundle), Some(held)) = (bundle.as_ref(), self.held.as_ref()) else { return false };
        is_tainted(&held.chain, &tainted_key_ids(bundle))
    }

    /// For a minute, with growing pauses; a denial ends it at once (SPIRE behaviour).
    async fn attest_with_retries(&mut self) -> Result<(), Ended> {
        let begun = Instant::now();
        let give_up = begun + ATTEST_RETRY_TOTAL;
        let mut pause = ATTEST_RETRY_PAUSE;
        let mode = if self.bundle.is_empty() { "bootstrap" } else { "rebootstrap" };
        let mut attempts = 0_u32;
        loop {
            attempts += 1;
            gauge!(metrics::BOOTSTRAP_ATTEMPTS, "mode" => mode).set(attempts);
            let failure = match self.attest_once().await {
                Ok(svid) => {
                    let reattestable = svid.reattestable;
                    tracing::info!(spiffe_id = %svid.id, reattestable, "Node attestation was successful");
                    gauge!(metrics::BOOTSTRAP_SECS, "mode" => mode).set(begun.elapsed().as_secs_f64());
                    return self.publish(svid);
                }
                Err(failure) => failure,
            };
            let denied = failure.status().is_some_and(|status| {
                matches!(status.code(), Code::PermissionDenied | Code::InvalidArgument | Code::FailedPrecondition)
            });
            if denied || Instant::now() + pause > give_up {
                return Err(failure.into());
            }
            tracing::warn!(error = %failure, retry_interval = ?pause, "Node attestation failed; retrying");
            tokio::time::sleep(pause.mul_f64(0.9 + 0.2 * random_fraction())).await;
            pause = pause.mul_f64(1.5);
        }
    }

    /// Attests, then fetches the bundle over the same kind of connection, as nobody.
    async fn attest_once(&mut self) -> Result<AgentSvid, AttestFailure> {
        let status = |error: &dyn std::fmt::Display| Box::new(Status::internal(error.to_string()));
        let insecure = self.bundle.is_empty() && self.first_contact == FirstContact::Insecure;
        let channel = self.upstream.anonymous(insecure).map_err(|error| status(&error))?;
        let key_id = AgentSvid::next_key_id(self.held.as_ref());
        let svid = attest(channel.clone(), &self.attestor, self.keys.as_ref(), key_id, &self.trust_domain).await?;
        let bundle = fetch_anonymous_bundle(channel).await.map_err(|error| status(&error))?;
        let roots: Vec<Vec<u8>> = bundle.x509_authorities.into_iter().map(|root| root.der).collect();
        self.trust(roots.clone()).map_err(|error| status(&error))?;
        self.bundle = roots;
        Ok(svid)
    }

    /// Checks the SVID as a server would, keeps it on disk, and makes the next call use it.
    fn publish(&mut self, svid: AgentSvid) -> Result<(), Ended> {
        let identity = Identity { chain: svid.chain.clone(), key: Secret::new(svid.key.expose().to_vec()) };
        self.store.publish(&identity)?;
        self.data.store(&AgentData {
            svid: svid.chain.clone(),
            bundle: self.bundle.clone(),
            reattestable: svid.reattestable,
        })?;
        self.shown.send_replace(svid.chain.clone());
        self.held = Some(svid);
        gauge!(metrics::BOOTSTRAPPED).set(1.0);
        self.upstream.reconnect();
        Ok(())
    }

    fn keep_bundle(&mut self, bundle: &Bundle) -> Result<(), Ended> {
        let roots: Vec<Vec<u8>> = bundle.x509_authorities.iter().map(|root| root.der.clone()).collect();
        if roots.is_empty() || roots == self.bundle {
            return Ok(());
        }
        self.trust(roots.clone())?;
        self.bundle = roots;
        tracing::debug!("Bundle updated");
        if let Some(held) = &self.held {
            self.data.store(&AgentData {
                svid: held.chain.clone(),
                bundle: self.bundle.clone(),
                reattestable: held.reattestable,
            })?;
        }
        Ok(())
    }

    fn trust(&self, roots: Vec<Vec<u8>>) -> Result<(), steeple_transport::tls::RootsError> {
        let roots = TrustRoots::empty().with(self.trust_domain.clone(), &roots)?;
        self.roots.store(Arc::new(roots));
        Ok(())
    }

    /// The bundle stays: only the identity is gone.
    fn forget(&mut self) -> Result<(), Ended> {
        self.store.withdraw();
        self.held = None;
        let data = AgentData { svid: Vec::new(), bundle: self.bundle.clone(), reattestable: false };
        Ok(self.data.store(&data)?)
    }
}

/// SPIRE looks as often.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(120);
const ATTEST_RETRY_PAUSE: Duration = Duration::from_secs(5);
const ATTEST_RETRY_TOTAL: Duration = Duration::from_secs(60);
