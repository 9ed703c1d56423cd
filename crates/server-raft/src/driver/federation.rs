//! Keeps the bundles of federated trust domains fresh. Only the leader polls; what it fetches goes through the log.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use parking_lot::Mutex;
use steeple_core::{BundleEndpointProfile, Clock, FederationRelationship, TrustDomain, rpc_code_name};
use steeple_state::{Change, CommandKind};
use steeple_telemetry::metric::CallTimer;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::Instrument as _;

use super::{StepError, propose, until_leader};
use crate::federation::{Difference, RefreshError, Relationships, Schedule, fetch, interval, jittered};
use crate::metrics;
use crate::raft::{AppliedEvents, Replica};

#[derive(Clone)]
pub struct FederationDriver {
    pub replica: Replica,
    pub clock: Arc<dyn Clock>,
    pub relationships: Arc<Relationships>,
    pub ages: BundleAges,
}

/// When each endpoint last answered with a good bundle, for the age gauge. Empty on a replica that does not lead.
#[derive(Clone, Debug, Default)]
pub struct BundleAges(Arc<Mutex<BTreeMap<TrustDomain, Instant>>>);

/// The end of one poll.
struct Polled {
    trust_domain: TrustDomain,
    is_ok: bool,
    next: Instant,
}

#[derive(Debug, thiserror::Error)]
enum PollError {
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    #[error("failed to store fetched federated bundle: {0}")]
    Store(#[from] StepError),
}

impl FederationDriver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let span = tracing::error_span!("federation", subsystem_name = "bundle_client");
        let polling = async {
            while until_leader(&self.replica, &stop).await.is_some() {
                self.lead(&stop).await;
                self.ages.0.lock().clear();
            }
        };
        polling.instrument(span).await;
    }

    /// Until this replica does not lead any more. Polls that are going on then are given up.
    async fn lead(&self, stop: &CancellationToken) {
        let mut leadership = self.replica.leadership();
        let mut events = self.replica.events();
        let mut schedule = Schedule::default();
        let mut polls: JoinSet<Polled> = JoinSet::new();
        self.reconcile(&mut schedule);
        loop {
            while polls.len() < POLLS_MAX
                && let Some(relationship) = schedule.take_due(Instant::now())
            {
                polls.spawn(self.clone().poll(relationship).in_current_span());
            }
            let turn = schedule.next_turn().filter(|_| polls.len() < POLLS_MAX);
            tokio::select! {
                () = stop.cancelled() => return,
                _ = leadership.wait_for(|now| !now.is_leader) => return,
                changed = changed_bundles(&mut events) => {
                    let Some(changed) = changed else { return };
                    self.reconcile(&mut schedule);
                    // Nobody who failed for want of this bundle should wait for the next turn.
                    schedule.retry_with(&changed, Instant::now());
                }
                Some(polled) = polls.join_next() => {
                    let Ok(Polled { trust_domain, is_ok, next }) = polled else { continue };
                    schedule.polled(&trust_domain, is_ok, next, Instant::now());
                }
                () = sleep_until(turn) => {}
            }
        }
    }

    fn reconcile(&self, schedule: &mut Schedule) {
        let wanted = self.relationships.all(&self.replica.state().read());
        let now = Instant::now();
        for difference in schedule.reconcile(wanted, now) {
            match difference {
                Difference::Added(FederationRelationship { trust_domain, bundle_endpoint_url, profile }) => {
                    let bundle_endpoint_profile = profile_name(&profile);
                    tracing::info!(
                        %trust_domain, bundle_endpoint_url, bundle_endpoint_profile, "Trust domain is now managed"
                    );
                    self.ages.0.lock().insert(trust_domain, now);
                }
                Difference::Changed(FederationRelationship { trust_domain, bundle_endpoint_url, profile }) => {
                    let bundle_endpoint_profile = profile_name(&profile);
                    tracing::info!(
                        %trust_domain, bundle_endpoint_url, bundle_endpoint_profile,
                        "Updated configuration for managed trust domain"
                    );
                }
                Difference::Gone(trust_domain) => {
                    tracing::info!(%trust_domain, "Trust domain no longer managed");
                    self.ages.0.lock().remove(&trust_domain);
                }
            }
        }
    }

    async fn poll(self, relationship: FederationRelationship) -> Polled {
        let trust_domain = relationship.trust_domain.clone();
        let name = trust_domain.name();
        tracing::debug!(trust_domain = name, "Polling for bundle update");
        let timer = CallTimer::start(metrics::FETCH_FEDERATED_BUNDLE).label("trust_domain_id", name);
        let updated = self.update(&relationship).await;
        timer.done(rpc_code_name(if updated.is_ok() { Code::Ok } else { Code::Unknown } as i32));
        let is_ok = updated.is_ok();
        match updated {
            Ok(changed) => {
                if let Some(known) = self.ages.0.lock().get_mut(&trust_domain) {
                    *known = Instant::now();
                }
                if changed {
                    metrics::federated_bundle_updated(&trust_domain);
                    tracing::info!(trust_domain = name, "Bundle refreshed");
                }
            }
            Err(error) => tracing::error!(trust_domain = name, %error, "Error updating bundle"),
        }
        let held = self.replica.state().read().bundle(&trust_domain).cloned();
        let pause = jittered(interval(held.as_deref()), uuid::Uuid::new_v4().as_u64_pair().1);
        let at = self.clock.now().saturating_add(pause);
        tracing::debug!(trust_domain = name, %at, "Scheduling next bundle refresh");
        Polled { trust_domain, is_ok, next: Instant::now() + pause }
    }

    /// Whether the bundle had changed.
    async fn update(&self, relationship: &FederationRelationship) -> Result<bool, PollError> {
        let Some(bundle) = fetch(&self.replica, relationship, &self.clock).await? else { return Ok(false) };
        let wanted = self.relationships.of(&self.replica.state().read(), &relationship.trust_domain);
        if wanted.as_ref() != Some(relationship) {
            // Taken back or changed meanwhile: this bundle may be just what the operator got rid of.
            return Ok(false);
        }
        propose(&self.replica, ACTOR, CommandKind::SetBundles { bundles: vec![Arc::new(bundle)] }).await?;
        Ok(true)
    }
}

impl BundleAges {
    /// Seconds since the last good answer of each endpoint that is polled here, or since polling began.
    pub fn now(&self) -> Vec<(TrustDomain, f64)> {
        let ages = self.0.lock();
        ages.iter().map(|(trust_domain, at)| (trust_domain.clone(), at.elapsed().as_secs_f64())).collect()
    }
}

/// Waits for entries that changed bundles or relationships; the trust domains whose bundles changed. `None`: the
/// replica stops.
async fn changed_bundles(events: &mut broadcast::Receiver<Arc<AppliedEvents>>) -> Option<Vec<TrustDomain>> {
    loop {
        let applied = match events.recv().await {
            Ok(applied) => applied,
            // What was missed may have been a relationship; reconciling starts from the state.
            Err(RecvError::Lagged(_)) => return Some(Vec::new()),
            Err(RecvError::Closed) => return None,
        };
        let mut is_relevant = applied.replaced;
        let mut bundles = Vec::new();
        for event in &applied.events {
            match &event.change {
                Change::Bundle { trust_domain } => bundles.push(trust_domain.clone()),
                Change::Relationship { .. } => is_relevant = true,
                _ => {}
            }
        }
        if is_relevant || !bundles.is_empty() {
            return Some(bundles);
        }
    }
}

async fn sleep_until(turn: Option<Instant>) {
    match turn {
        Some(turn) => tokio::time::sleep_until(turn).await,
        None => pending().await,
    }
}

fn profile_name(profile: &BundleEndpointProfile) -> &'static str {
    match profile {
        BundleEndpointProfile::HttpsSpiffe { .. } => "https_spiffe",
        BundleEndpointProfile::HttpsWeb => "https_web",
    }
}

/// How the log's reader sees what this driver proposes.
const ACTOR: &str = "federation driver";
/// One endpoint that hangs holds up no other; hundreds that hang hold up each other.
const POLLS_MAX: usize = 16;
