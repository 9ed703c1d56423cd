//! The life of the agent's SVID.

use std::sync::Arc;
use std::time::Duration;

use ::metrics::gauge;
use steeple_core::plugin::{AgentNodeAttestor, KeyManager, PrivateKey};
use steeple_core::{Bundle, Clock, Secret, Timestamp, TrustDomain};
use steeple_transport::tls::{Identity, IdentitySink as _, IdentityStore, SharedRoots, TrustRoots};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::renew::renew;
use super::{AgentSvid, AttestFailure, Distrust, IdentityError, NotRepeatable, Rebootstrap, attest};
use crate::bootstrap::{Attempt, Bootstrap, FirstContact};
use crate::cache::RotationRule;
use crate::data::{AgentData, DataError, DataFile};
use crate::metrics;
use crate::persist::SealSlot;
use crate::sync::{fetch_anonymous_bundle, is_tainted, random_fraction, tainted_key_ids};
use crate::upstream::{Reaction, Upstream, UpstreamError, pause_as_told, reaction};

/// A refusal that concerns the agent itself, noticed by any of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Banned,
    MustReattest,
    UnknownAuthority,
}

/// A [`Trouble`], and how the call ended that met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    pub trouble: Trouble,
    pub error: String,
}

/// Why the agent ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The server's words.
    #[error("{0}")]
    Banned(String),
    #[error("Agent needs to re-attest: removing SVID and shutting down (its attestation cannot be repeated): {0}")]
    CannotReattest(String),
    #[error("the agent's SVID has expired and could not be renewed")]
    Expired,
    #[error(
        "no root that this agent trusts signed the server's certificate: give it the right trust bundle and remove \
         agent-data.json, with a new join token if it attested by one; an agent that can attest again does that by \
         itself with rebootstrap_mode"
    )]
    UnknownAuthority,
    #[error(transparent)]
    NotRepeatable(#[from] NotRepeatable),
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

/// How an agent came to the SVID that it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    Attested,
    /// It was on disk.
    Resumed,
}

pub struct IdentityDriver {
    parts: IdentityParts,
    held: Option<AgentSvid>,
    /// When the SVID in use falls due.
    rotate_at: Timestamp,
    /// Whether the log says already that the SVID in use is tainted.
    taint_told: bool,
    /// DER; empty until a server has been trusted, and again when it is not any more.
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
    pub bootstrap: Bootstrap,
    pub rebootstrap: Rebootstrap,
    pub rotation: RotationRule,
    pub clock: Arc<dyn Clock>,
    /// The chain in use, for the Debug API and metrics.
    pub shown: watch::Sender<Vec<Vec<u8>>>,
    /// Where SVIDs are persisted.
    pub persisted: Option<SealSlot>,
}

impl IdentityDriver {
    pub fn new(parts: IdentityParts) -> Self {
        Self { parts, held: None, rotate_at: Timestamp::default(), taint_told: false, bundle: Vec::new() }
    }

    /// Brings the agent to an SVID in use: from disk if it is still good, else by attesting, with retries.
    pub async fn start(&mut self) -> Result<Started, Ended> {
        let stored = self.parts.data.load()?;
        self.parts.rebootstrap.resume(stored.untrusted_since);
        self.bundle = stored.bundle;
        if !self.bundle.is_empty() {
            self.trust(&self.bundle)?;
        }
        let now = self.parts.clock.now();
        let found = AgentSvid::load(stored.svid, stored.reattestable, self.parts.keys.as_ref()).await?;
        match found.filter(|svid| svid.is_usable(now)) {
            Some(svid) if !self.bundle.is_empty() => {
                self.parts.rebootstrap.check(svid.reattestable)?;
                tracing::info!(spiffe_id = %svid.id, "SVID loaded");
                self.publish(svid)?;
                Ok(Started::Resumed)
            }
            _ => {
                tracing::info!("SVID is not found. Starting node attestation");
                if let Some(persisted) = &self.parts.persisted {
                    persisted.forget();
                }
                self.attest_with_retries().await?;
                Ok(Started::Attested)
            }
        }
    }

    /// The agent's keys that are here, the one in use among them.
    pub async fn keys(&self) -> Result<Vec<Secret>, IdentityError> {
        let held = self.parts.keys.keys().await?.into_iter();
        Ok(held.filter_map(|(_, key)| key.into_secret()).collect())
    }

    /// Renews, and reacts to what other calls met. Ends when the agent has to.
    pub async fn run(
        mut self,
        mut trouble: watch::Receiver<Option<Met>>,
        mut bundle_arrived: watch::Receiver<Option<Arc<Bundle>>>,
        stop: CancellationToken,
    ) -> Result<(), Ended> {
        let mut pause = CHECK_INTERVAL;
        let mut used = self.key_id();
        loop {
            if used != self.key_id() {
                // What was said of the SVID before this one concerns nobody any more.
                trouble.mark_unchanged();
                used = self.key_id();
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                changed = trouble.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let met = trouble.borrow_and_update().clone();
                    match met {
                        Some(met) => self.react(met).await?,
                        None => self.trusted()?,
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
        let now = self.parts.clock.now();
        let tainted = self.is_tainted(bundle);
        if tainted && !self.taint_told {
            tracing::info!("Agent SVID is tainted by a root authority, forcing rotation");
            self.taint_told = true;
        }
        if self.held.is_some() && now < self.rotate_at && !tainted {
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
                        _ => Ok(pause_as_told((pause * 2).min(BACKOFF_MAX), failure.status())),
                    };
                };
                self.react(Met { trouble, error: failure.to_string() }).await.map(|()| CHECK_INTERVAL)
            }
        }
    }

    async fn renew_or_reattest(&mut self) -> Result<(), AttestFailure> {
        let upstream = Arc::clone(&self.parts.upstream);
        let _renewal = upstream.renewal();
        let fresh = match &self.held {
            Some(held) if !held.reattestable => renew(&self.parts.upstream, held, self.parts.keys.as_ref()).await?,
            _ => self.attest_once(1).await?,
        };
        tracing::info!(spiffe_id = %fresh.id, "Agent SVID rotated");
        self.parts.rebootstrap.trusted();
        self.publish(fresh).map_err(|error| Box::new(Status::internal(error.to_string())).into())
    }

    async fn react(&mut self, met: Met) -> Result<(), Ended> {
        let Met { trouble, error } = met;
        match trouble {
            Trouble::Banned => {
                tracing::warn!(error, "Agent is banned: removing SVID and shutting down");
                self.forget()?;
                Err(Ended::Banned(error))
            }
            Trouble::UnknownAuthority => match self.distrusted()? {
                Distrust::Final => Err(Ended::UnknownAuthority),
                Distrust::Wait(_) => Ok(()),
                Distrust::Anew => self.attest_with_retries().await,
            },
            Trouble::MustReattest if self.can_reattest() => {
                tracing::warn!(error, "Agent needs to re-attest; starting node attestation");
                self.attest_with_retries().await
            }
            Trouble::MustReattest => {
                self.forget()?;
                Err(Ended::CannotReattest(error))
            }
        }
    }

    /// The server's chain leads to none of our roots. The bundle on disk stays until another one has proved good.
    fn distrusted(&mut self) -> Result<Distrust, Ended> {
        let distrust = self.parts.rebootstrap.distrusted(self.parts.clock.now());
        match distrust {
            Distrust::Final => return Ok(distrust),
            Distrust::Wait(left) => {
                let time_left = left.as_secs();
                tracing::info!(time_left, "Trust Bundle and Server don't agree, ignoring for now");
            }
            Distrust::Anew => tracing::warn!("Trust Bundle and Server don't agree, rebootstrapping"),
        }
        self.save()?;
        if distrust == Distrust::Anew {
            self.bundle.clear();
        }
        Ok(distrust)
    }

    fn trusted(&mut self) -> Result<(), Ended> {
        if self.parts.rebootstrap.trusted() { self.save() } else { Ok(()) }
    }

    pub fn can_reattest(&self) -> bool {
        self.held.as_ref().is_none_or(|svid| svid.reattestable)
    }

    /// Of the key in use; each SVID has another one than the SVID before.
    fn key_id(&self) -> Option<String> {
        self.held.as_ref().map(|svid| svid.key_id.clone())
    }

    fn is_tainted(&self, bundle: &watch::Receiver<Option<Arc<Bundle>>>) -> bool {
        let bundle = bundle.borrow();
        let (Some(bundle), Some(held)) = (bundle.as_ref(), self.held.as_ref()) else { return false };
        is_tainted(&held.chain, &tainted_key_ids(bundle))
    }

    /// With growing pauses; a denial ends it at once (SPIRE behaviour).
    async fn attest_with_retries(&mut self) -> Result<(), Ended> {
        let upstream = Arc::clone(&self.parts.upstream);
        let _renewal = upstream.renewal();
        let begun = Instant::now();
        let mut pause = ATTEST_RETRY_PAUSE;
        let mode = if self.held.is_none() && self.bundle.is_empty() { "bootstrap" } else { "rebootstrap" };
        let mut attempts = 0_u32;
        loop {
            attempts += 1;
            gauge!(metrics::BOOTSTRAP_ATTEMPTS, "mode" => mode).set(attempts);
            let failure = match self.attest_once(attempts).await {
                Ok(svid) => {
                    let reattestable = svid.reattestable;
                    self.parts.rebootstrap.check(reattestable)?;
                    self.parts.rebootstrap.trusted();
                    tracing::info!(spiffe_id = %svid.id, reattestable, "Node attestation was successful");
                    gauge!(metrics::BOOTSTRAP_SECS, "mode" => mode).set(begun.elapsed().as_secs_f64());
                    return self.publish(svid);
                }
                Err(failure) => failure,
            };
            let denied = failure.status().is_some_and(|status| {
                matches!(status.code(), Code::PermissionDenied | Code::InvalidArgument | Code::FailedPrecondition)
            });
            if denied || begun.elapsed() + pause > self.parts.rebootstrap.patience() {
                return Err(failure.into());
            }
            let untrusted = failure.status().and_then(Trouble::of) == Some(Trouble::UnknownAuthority);
            if untrusted && !self.bundle.is_empty() {
                self.distrusted()?;
            }
            tracing::warn!(error = %failure, retry_interval = ?pause, "Node attestation failed; retrying");
            let own = pause.mul_f64(0.9 + 0.2 * random_fraction());
            tokio::time::sleep(pause_as_told(own, failure.status())).await;
            pause = pause.mul_f64(1.5).min(BACKOFF_MAX);
        }
    }

    /// Attests, then fetches the bundle over the same kind of connection, as nobody.
    async fn attest_once(&mut self, number: u32) -> Result<AgentSvid, AttestFailure> {
        let status = |error: &dyn std::fmt::Display| Box::new(Status::internal(error.to_string()));
        let insecure = self.bundle.is_empty() && self.first_contact(number).await? == FirstContact::Insecure;
        let parts = &self.parts;
        let channel = parts.upstream.anonymous(insecure).map_err(|error| status(&error))?;
        let key_id = AgentSvid::next_key_id(self.held.as_ref());
        let svid = attest(channel.clone(), &parts.attestor, parts.keys.as_ref(), key_id, &parts.trust_domain).await?;
        let bundle = self.bundle_after_attestation(channel, insecure).await.map_err(|error| status(&error))?;
        let roots: Vec<Vec<u8>> = bundle.x509_authorities.into_iter().map(|root| root.der).collect();
        self.trust(&roots).map_err(|error| status(&error))?;
        self.bundle = roots;
        Ok(svid)
    }

    /// What the agent attested with may be spent, and its former SVID replaced: nothing of that is given up because the
    /// servers elect a leader just now.
    async fn bundle_after_attestation(&self, channel: Channel, insecure: bool) -> anyhow::Result<Bundle> {
        let (begun, mut pause) = (Instant::now(), BUNDLE_RETRY_PAUSE);
        let mut channel = channel;
        loop {
            let error = match fetch_anonymous_bundle(channel).await {
                Ok(bundle) => return Ok(bundle),
                Err(error) => error,
            };
            if begun.elapsed() + pause > self.parts.rebootstrap.patience() {
                return Err(error.into());
            }
            tracing::warn!(%error, retry_interval = ?pause, "Failed to fetch the bundle after attestation; retrying");
            tokio::time::sleep(pause.mul_f64(0.9 + 0.2 * random_fraction())).await;
            pause = pause.mul_f64(1.5).min(BACKOFF_MAX);
            channel = self.parts.upstream.anonymous(insecure)?;
        }
    }

    /// Trusts what the configured source says, until a server has told its bundle.
    async fn first_contact(&self, number: u32) -> Result<FirstContact, AttestFailure> {
        let started_at = self.parts.rebootstrap.untrusted_since().unwrap_or_else(|| self.parts.clock.now());
        let attempt = Attempt { again: self.held.is_some(), number, started_at };
        let contact = self.parts.bootstrap.first_contact(attempt).await?;
        if let FirstContact::Roots(roots) = &contact {
            self.trust(roots).map_err(|error| Box::new(Status::internal(error.to_string())))?;
        }
        Ok(contact)
    }

    /// Checks the SVID as a server would, keeps it on disk, and makes the next call use it.
    fn publish(&mut self, svid: AgentSvid) -> Result<(), Ended> {
        let identity = Identity { chain: svid.chain.clone(), key: svid.key.duplicate() };
        self.parts.store.publish(&identity)?;
        self.parts.shown.send_replace(svid.chain.clone());
        self.rotate_at = self.parts.rotation.rotate_at(svid.not_before, svid.not_after, random_fraction());
        if let Some(persisted) = &self.parts.persisted {
            // A key that is kept elsewhere seals nothing, and the settings say so.
            if let PrivateKey::Here(key) = &svid.key {
                persisted.replace(key);
            }
        }
        self.held = Some(svid);
        self.taint_told = false;
        self.save()?;
        gauge!(metrics::BOOTSTRAPPED).set(1.0);
        self.parts.upstream.reconnect();
        Ok(())
    }

    fn keep_bundle(&mut self, bundle: &Bundle) -> Result<(), Ended> {
        let roots: Vec<Vec<u8>> = bundle.x509_authorities.iter().map(|root| root.der.clone()).collect();
        if roots.is_empty() || roots == self.bundle {
            return Ok(());
        }
        self.trust(&roots)?;
        self.bundle = roots;
        tracing::debug!("Bundle updated");
        if self.held.is_some() { self.save() } else { Ok(()) }
    }

    fn trust(&self, roots: &[Vec<u8>]) -> Result<(), steeple_transport::tls::RootsError> {
        let roots = TrustRoots::empty().with(self.parts.trust_domain.clone(), roots)?;
        self.parts.roots.store(Arc::new(roots));
        Ok(())
    }

    /// The bundle stays: only the identity is gone.
    fn forget(&mut self) -> Result<(), Ended> {
        self.parts.store.withdraw();
        if let Some(persisted) = &self.parts.persisted {
            persisted.forget();
        }
        self.held = None;
        self.save()
    }

    fn save(&self) -> Result<(), Ended> {
        let held = self.held.as_ref();
        Ok(self.parts.data.store(&AgentData {
            svid: held.map(|svid| svid.chain.clone()).unwrap_or_default(),
            bundle: self.bundle.clone(),
            reattestable: held.is_some_and(|svid| svid.reattestable),
            untrusted_since: self.parts.rebootstrap.untrusted_since(),
        })?)
    }
}

/// SPIRE looks as often.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
const BACKOFF_MAX: Duration = Duration::from_secs(120);
const ATTEST_RETRY_PAUSE: Duration = Duration::from_secs(5);
/// An election is over in a second or two.
const BUNDLE_RETRY_PAUSE: Duration = Duration::from_millis(500);
