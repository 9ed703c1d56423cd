//! Gauges, computed when a scrape asks: there is nothing to keep up to date, and what has ended is not shown.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use parking_lot::Mutex;
use steeple_ca::certificate;
use steeple_core::{AuthorityKind, Bundle, Clock, Timestamp};
use steeple_state::State;
use steeple_state::view::EntryFilter;
use steeple_storage::{FLUSH_BUCKETS_US, Meter};
use steeple_telemetry::metric::{Ages, Tally};
use tokio::time::Instant;

use super::agents::Survey;
use super::names::*;
use crate::driver::federation::BundleAges;
use crate::federation;
use crate::raft::{MemberStatus, Replica};
use crate::seal::KeyInUse;
use crate::service::Subscribers;

/// What the gauges are computed from.
pub struct Observed {
    pub replica: Replica,
    pub sealing_key: KeyInUse,
    pub meter: Meter,
    pub bundle_ages: BundleAges,
    pub clock: Arc<dyn Clock>,
    /// `default_x509_svid_ttl`.
    pub x509_svid_ttl: Duration,
    /// `agent_ttl`.
    pub agent_ttl: Duration,
    pub started_at: Instant,
    pub agent_ages: AgentAges,
    pub subscribers: Arc<Subscribers>,
}

/// How old the agents' SVIDs were when the metrics were computed last: counted in the pass that counts the agents.
#[derive(Clone, Default)]
pub struct AgentAges(Arc<Mutex<Ages>>);

impl AgentAges {
    pub fn seconds(&self) -> Tally {
        self.0.lock().seconds.clone()
    }

    pub fn ratio(&self) -> Tally {
        self.0.lock().ratio.clone()
    }
}

impl Observed {
    /// Sets every gauge except those of [`observe_expiry`].
    pub fn observe(&self) {
        gauge!(UPTIME_MS).set(self.started_at.elapsed().as_millis() as f64);
        self.observe_raft();
        self.observe_storage();
        self.observe_state();
        self.observe_federation();
        let owed_for = self.subscribers.owed_for().unwrap_or_default();
        gauge!(PUSH_UNACKNOWLEDGED_OLDEST_SECS).set(owed_for.as_secs_f64());
    }

    fn observe_raft(&self) {
        let status = self.replica.status();
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        gauge!(SEALED).set(flag(self.sealing_key.is_sealed()));
        gauge!(RAFT_IS_LEADER).set(flag(status.leader_id == Some(status.node_id)));
        gauge!(RAFT_HAS_LEADER).set(flag(status.leader_id.is_some()));
        gauge!(RAFT_TERM).set(status.term as f64);
        let ahead = self.replica.state().read().now().since(self.clock.now());
        gauge!(CLOCK_AHEAD_SECS).set(ahead.as_secs_f64());
        gauge!(WAL_SYNC_SLOW).set(flag(self.replica.has_slow_disk()));
        gauge!(RAFT_APPLIED_INDEX).set(status.applied_index as f64);
        gauge!(RAFT_LAST_LOG_INDEX).set(status.last_log_index as f64);
        gauge!(RAFT_SNAPSHOT_INDEX).set(status.snapshot_index as f64);
        gauge!(RAFT_LOG_ENTRIES).set(status.last_log_index.saturating_sub(status.purged_index) as f64);
        observe_members(&status.members);
        gauge!(RAFT_VOTERS).set(status.voters.count as f64);
        gauge!(RAFT_VOTERS_REACHABLE).set(status.voters.answering as f64);
        gauge!(RAFT_FAILURE_TOLERANCE).set(status.failure_tolerance as f64);
        gauge!(CLUSTER_VERSION).set(f64::from(status.cluster_version));
        gauge!(STATE_DIFFERING).set(status.differing as f64);
        gauge!(STATE_FENCED).set(flag(self.replica.divergence().is_some()));
        if let Some(cluster_id) = status.cluster_uuid {
            let own = status.members.iter().find(|member| member.node_id == status.node_id);
            let name = own.map(|member| member.name.clone()).unwrap_or_default();
            let node_id = status.node_id.to_string();
            let cluster_id = uuid::Uuid::from_bytes(cluster_id).simple().to_string();
            gauge!(CLUSTER_INFO, "cluster_id" => cluster_id, "node_id" => node_id, "name" => name).set(1.0);
        }
    }

    fn observe_storage(&self) {
        if let Some(stats) = self.meter.stats() {
            gauge!(WAL_SYNC_QUEUE).set(stats.flush_queue_len as f64);
        }
        if let Some(space) = self.meter.space() {
            gauge!(VOLUME_SIZE_BYTES).set(space.total_bytes as f64);
            gauge!(VOLUME_AVAILABLE_BYTES).set(space.available_bytes as f64);
        }
    }

    fn observe_state(&self) {
        let now = self.clock.now();
        let state = self.replica.state().read();
        gauge!(ENTRIES).set(state.count_entries(&EntryFilter::default()) as f64);
        let longest = Duration::from_secs(state.x509_svid_ttl_max().unsigned_abs().into()).max(self.x509_svid_ttl);
        gauge!(X509_SVID_TTL_MAX_SECS).set(longest.as_secs_f64());
        let survey = Survey::of(state.all_agents(), now, self.agent_ttl);
        for (agents, count) in survey.states() {
            gauge!(AGENTS, "state" => agents).set(count as f64);
        }
        *self.agent_ages.0.lock() = survey.ages;
        let (tokens, valid) = (state.count_join_tokens(), state.count_valid_join_tokens(now));
        gauge!(JOIN_TOKENS, "state" => "valid").set(valid as f64);
        gauge!(JOIN_TOKENS, "state" => "expired").set((tokens - valid) as f64);
        let own = usize::from(state.own_bundle().is_some());
        gauge!(FEDERATED_BUNDLES).set(state.count_bundles().saturating_sub(own) as f64);
        gauge!(FEDERATION_RELATIONSHIPS).set(state.count_relationships() as f64);
        gauge!(STATE_ROWS).set(state.row_count() as f64);
        observe_authorities(&state);
        observe_upstream_roots(&state, now);
        for certificate in state.web_certificates() {
            let remaining = seconds_until(certificate.not_after, now);
            gauge!(WEB_CERTIFICATE_EXPIRY_SECS, "domain" => certificate.domain.clone()).set(remaining);
        }
    }

    /// Of each trust domain whose bundle is held and polled for.
    fn observe_federation(&self) {
        let now = self.clock.now();
        let state = self.replica.state().read();
        for (trust_domain, age) in self.bundle_ages.now() {
            let Some(bundle) = state.bundle(&trust_domain) else { continue };
            let of = |name: &'static str| gauge!(name, "trust_domain_id" => trust_domain.name().to_owned());
            of(FEDERATED_BUNDLE_AGE_SECS).set(age);
            of(FEDERATED_BUNDLE_POLL_INTERVAL_SECS).set(federation::interval(Some(bundle)).as_secs_f64());
            if let Some(last) = last_root_end(bundle) {
                of(FEDERATED_BUNDLE_EXPIRY_SECS).set(seconds_until(last, now));
            }
        }
    }
}

/// Syncs of the write-ahead log, in seconds, while there is a store.
pub fn wal_syncs(meter: &Meter) -> Option<Tally> {
    let stats = meter.stats()?;
    let [within @ .., beyond] = stats.flush_buckets;
    let bounds = FLUSH_BUCKETS_US.map(|us| us as f64 / 1e6);
    Some(Tally { buckets: bounds.into_iter().zip(within).collect(), beyond, sum: stats.flush_total_ns as f64 / 1e9 })
}

/// Sets the seconds that each authority has left. Apart from [`Observed::observe`] because alerts rely on
/// `spire_server_ca_cert_expiry_seconds` whatever prefix is configured.
pub fn observe_expiry(replica: &Replica, now: Timestamp) {
    let state = replica.state().read();
    for (kind, name) in [
        (AuthorityKind::X509, CA_CERT_EXPIRY_SECS),
        (AuthorityKind::Jwt, JWT_KEY_EXPIRY_SECS),
        (AuthorityKind::Wit, WIT_KEY_EXPIRY_SECS),
    ] {
        for (slot, authority) in slots(&state, kind) {
            let remaining = seconds_until(authority.not_after, now);
            gauge!(name, "authority_id" => authority.id.clone(), "slot" => slot).set(remaining);
        }
    }
}

fn slots(state: &State, kind: AuthorityKind) -> impl Iterator<Item = (&'static str, &steeple_core::Authority)> {
    let set = state.authorities(kind);
    let slots = [("active", set.active.as_ref()), ("prepared", set.prepared()), ("old", set.old())];
    slots.into_iter().filter_map(|(slot, authority)| Some((slot, authority?)))
}

fn observe_authorities(state: &State) {
    for (kind, name) in [
        (AuthorityKind::X509, CA_LIFETIME_SECS),
        (AuthorityKind::Jwt, JWT_KEY_LIFETIME_SECS),
        (AuthorityKind::Wit, WIT_KEY_LIFETIME_SECS),
    ] {
        for (slot, authority) in slots(state, kind) {
            let lifetime = authority.not_after.since(authority.issued_at).as_secs_f64();
            gauge!(name, "authority_id" => authority.id.clone(), "slot" => slot).set(lifetime);
        }
    }
    if let (Some(active), Some(domain)) = (state.active_authority(AuthorityKind::X509), state.trust_domain()) {
        let domain = domain.name().to_owned();
        gauge!(X509_CA_EXPIRATION, "trust_domain_id" => domain).set(active.not_after.as_secs() as f64);
    }
}

/// A CA of our own is a root itself, and `ca_cert_expiry_seconds` shows it.
fn observe_upstream_roots(state: &State, now: Timestamp) {
    let active = state.active_authority(AuthorityKind::X509);
    let (Some(active), Some(bundle)) = (active, state.own_bundle()) else { return };
    if active.upstream_authority_id.is_empty() {
        return;
    }
    for root in bundle.x509_authorities.iter().filter_map(|authority| certificate::facts(&authority.der)) {
        let authority_id = root.subject_key_id.as_ref().map(hex::encode).unwrap_or_default();
        gauge!(UPSTREAM_ROOT_EXPIRY_SECS, "authority_id" => authority_id).set(seconds_until(root.not_after, now));
    }
}

/// As this replica sees them. A member that was removed is not among them.
fn observe_members(members: &[MemberStatus]) {
    let last_log_index = members.iter().map(|member| member.last_log_index).max().unwrap_or(0);
    for member in members {
        let of =
            |name: &'static str| gauge!(name, "member" => member.name.clone(), "node_id" => member.node_id.to_string());
        of(RAFT_MEMBER_REACHABLE).set(f64::from(u8::from(member.reachable)));
        of(RAFT_MEMBER_HEALTHY).set(f64::from(u8::from(member.healthy)));
        of(RAFT_MEMBER_LAG).set((last_log_index - member.last_log_index) as f64);
        if let Some(last_contact) = member.last_contact {
            of(RAFT_MEMBER_LAST_CONTACT_SECS).set(last_contact.as_secs_f64());
        }
        if let Some(round_trip) = member.round_trip {
            of(RAFT_MEMBER_PING_SECS).set(round_trip.as_secs_f64());
        }
    }
}

fn last_root_end(bundle: &Bundle) -> Option<Timestamp> {
    bundle.x509_authorities.iter().filter_map(|root| Some(certificate::facts(&root.der)?.not_after)).max()
}

fn seconds_until(end: Timestamp, now: Timestamp) -> f64 {
    (end.as_ms() - now.as_ms()) as f64 / 1000.0
}
