//! Who of the agents holds the own bundle: seen by the API on each replica, gathered over the peer port. Servers below
//! this one count as SPIRE's agents do, by fetching it.
//!
//! ```text
//!   AttestAgent (attested)┐
//!   authz (authenticated) │
//!   GetBundle (fetched)   ├─▶ Acknowledgements ◀── peer port: other replicas ask
//!   PostStatus (reported) ┘          │
//!                          gather(replica) ─▶ Gathered ─▶ driver::ca, service::authority
//! ```
//!
//! The memory ends with the process. Whoever asks starts from what the replicas remember now, so a new leader needs
//! nothing from the one before it.

use std::time::Duration;

use parking_lot::Mutex;
use steeple_api::steeple::peer::{AcknowledgementsRequest, AcknowledgementsResponse};
use steeple_ca::acknowledgement::{AGENTS_MAX, Answer, LISTED_MAX, LiveAgent, Memory, Question, Tally, tally};
use steeple_core::{AuthorityKind, Bundle, SpiffeId};
use steeple_state::State;
use steeple_state::limits::MEMBERS_MAX;
use steeple_transport::tls::PeerIdentity;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::driver::server_svid::ServerSvid;
use crate::peer::{AcknowledgementHandler, MemberAnswer};
use crate::raft::{Replica, SharedState};

/// What this replica has seen since it started.
pub struct Acknowledgements {
    state: SharedState,
    shown: watch::Receiver<Option<ServerSvid>>,
    started: Instant,
    /// Nobody takes it who holds the state.
    memory: Mutex<Memory>,
}

/// What all replicas know together, and each of them.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    pub sequence: u64,
    pub tally: Tally,
    pub replicas: Vec<MemberAnswer>,
}

impl Acknowledgements {
    /// `shown` is the SVID that this replica shows to agents; it listens to them since `started`.
    pub fn new(state: SharedState, shown: watch::Receiver<Option<ServerSvid>>, started: Instant) -> Self {
        Self { state, shown, started, memory: Mutex::default() }
    }

    /// An agent attested and was given a certificate. Until it fetches the bundle it counts as one that lacks it: it
    /// may have begun with an old one.
    pub fn attested(&self, agent: &SpiffeId, signed_by: &[u8]) {
        self.memory.lock().authenticated(self.started.elapsed(), agent, signed_by);
    }

    /// An agent passed the authorizer.
    pub fn authenticated(&self, agent: &SpiffeId, identity: &PeerIdentity) {
        self.memory.lock().authenticated(self.started.elapsed(), agent, &identity.authority_key_id);
    }

    /// An agent, or a server below, was given the own bundle.
    pub fn fetched(&self, agent: &SpiffeId, identity: &PeerIdentity, sequence: u64) {
        self.authenticated(agent, identity);
        self.memory.lock().fetched(self.started.elapsed(), agent, sequence);
    }

    /// An agent says that it serves the own bundle with this sequence number; 0 says nothing.
    pub fn reported(&self, agent: &SpiffeId, sequence: u64) {
        if sequence != 0 {
            self.memory.lock().reported(self.started.elapsed(), agent, sequence);
        }
    }
}

impl AcknowledgementHandler for Acknowledgements {
    fn answer(&self, request: &AcknowledgementsRequest) -> AcknowledgementsResponse {
        let question = Question {
            sequence: request.bundle_sequence,
            distrusted: Some(request.distrusted.clone()).filter(|id| !id.is_empty()),
            missing_elsewhere: ids(&request.missing_elsewhere, LISTED_MAX * MEMBERS_MAX),
        };
        // The state is locked for each agent anew: whoever applies must not wait for all of them.
        let lets_in = |id: &SpiffeId| {
            let state = self.state.read();
            match state.agent(id) {
                Some(agent) => !agent.is_banned(),
                None => state.caller_flags(id).downstream,
            }
        };
        let known = self.memory.lock().answer(self.started.elapsed(), &question, lets_in);
        let texts = |ids: &[SpiffeId]| ids.iter().map(ToString::to_string).collect();
        AcknowledgementsResponse {
            bundle_sequence: self.state.read().own_bundle().map_or(0, |bundle| bundle.sequence),
            svid_authority_id: self.shown.borrow().as_ref().map(|svid| svid.authority_id.clone()).unwrap_or_default(),
            complete: known.complete,
            live_agents: known.live.into_iter().map(LiveAgent::to_wire).collect(),
            missing: known.missing as u64,
            missing_agents: texts(&known.missing_agents),
            found: texts(&known.found),
        }
    }
}

/// Asks all replicas about the bundle as it is in this replica's state; a second time about agents that one of them
/// misses, for they may have moved to another.
pub async fn gather(replica: &Replica) -> Gathered {
    let mut request = question(&replica.state().read());
    let sequence = request.bundle_sequence;
    let mut replicas = ask(replica, &request).await;
    let mut known = tally(sequence, &answers(&replicas));
    if !known.missing_agents.is_empty() && replicas.len() > 1 {
        request.missing_elsewhere = known.missing_agents.iter().map(ToString::to_string).collect();
        replicas = ask(replica, &request).await;
        known = tally(sequence, &answers(&replicas));
    }
    Gathered { sequence, tally: known, replicas }
}

async fn ask(replica: &Replica, request: &AcknowledgementsRequest) -> Vec<MemberAnswer> {
    replica.ask_acknowledgements(request, Instant::now() + ASK_TIMEOUT).await
}

/// The bundle as it is. While a tainted root is in it, agents have to show certificates of another authority as well.
fn question(state: &State) -> AcknowledgementsRequest {
    let bundle = state.own_bundle();
    let old = state.authorities(AuthorityKind::X509).old();
    let distrusted = old.filter(|old| bundle.is_some_and(|bundle| is_tainted(bundle, &old.certificate)));
    AcknowledgementsRequest {
        bundle_sequence: bundle.map_or(0, |bundle| bundle.sequence),
        distrusted: distrusted.and_then(|old| hex::decode(&old.id).ok()).unwrap_or_default(),
        missing_elsewhere: Vec::new(),
    }
}

fn is_tainted(bundle: &Bundle, root: &[u8]) -> bool {
    bundle.x509_authorities.iter().any(|known| known.tainted && known.der == root)
}

fn answers(replicas: &[MemberAnswer]) -> Vec<Option<Answer>> {
    replicas.iter().map(|member| member.answer.as_ref().map(from_wire)).collect()
}

fn from_wire(wire: &AcknowledgementsResponse) -> Answer {
    Answer {
        sequence: wire.bundle_sequence,
        complete: wire.complete,
        live: wire.live_agents.iter().take(AGENTS_MAX).copied().map(LiveAgent::from_wire).collect(),
        missing: usize::try_from(wire.missing).unwrap_or(usize::MAX),
        missing_agents: ids(&wire.missing_agents, LISTED_MAX),
        found: ids(&wire.found, LISTED_MAX * MEMBERS_MAX),
    }
}

fn ids(texts: &[String], most: usize) -> Vec<SpiffeId> {
    texts.iter().take(most).filter_map(|id| SpiffeId::parse(id).ok()).collect()
}

/// A replica that answers later than this counts as silent; it is asked again.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
