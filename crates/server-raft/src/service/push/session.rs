//! One agent's stream.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steeple_api::push::{HASH_BYTES, Held, PROTOCOL};
use steeple_api::status::authorization_denied;
use steeple_api::steeple::agent::from_agent::Kind as FromAgentKind;
use steeple_api::steeple::agent::from_server::Kind;
use steeple_api::steeple::agent::{self as wire, Ack, Describe, FromAgent, Hello, Welcome};
use steeple_api::types::permission_denied_details::Reason;
use steeple_core::SpiffeId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, Streaming};

use super::codec::encoded;
use super::held::Description;
use super::propagation::Propagation;
use super::visible::Visible;
use super::{METHOD, changes, issue};
use crate::authz::{AgentDecision, Authorized, Denial, decide};
use crate::call_log;
use crate::freshness::until_stale;
use crate::metrics;
use crate::service::agent::note_version;
use crate::service::{Shared, SvidService};

pub struct Session {
    shared: Arc<Shared>,
    svids: Arc<SvidService>,
    caller: Authorized,
    agent: SpiffeId,
}

/// Why a stream ends.
enum End {
    /// The agent went away, or is to go to another connection.
    Left,
    Denied(Denial),
    Failed(Status),
}

/// Serves the stream until the agent leaves, `connection_ends`, or it has to be sent away.
pub async fn run(
    session: Session,
    mut requests: Streaming<FromAgent>,
    messages: mpsc::Sender<Result<Bytes, Status>>,
    connection_ends: impl Future<Output = ()>,
) {
    let last = match session.serve(&mut requests, &messages, connection_ends).await {
        End::Left => return,
        End::Failed(status) => Err(status),
        End::Denied(denial) => {
            tracing::info!(agent_id = %session.agent, reason = ?denial, "push stream ended");
            let reason = Reason::from(denial);
            let message = authorization_denied(METHOD, None).message().to_owned();
            Ok(encoded(Kind::Denial(wire::Denial { reason: reason as i32, message })))
        }
    };
    // Who does not read is gone.
    let _ = messages.send_timeout(last, FAREWELL_MAX).await;
}

impl Session {
    pub fn new(shared: Arc<Shared>, caller: Authorized) -> Result<Self, Status> {
        let agent = caller.agent_id()?.clone();
        let svids = Arc::new(SvidService { shared: Arc::clone(&shared) });
        Ok(Self { shared, svids, caller, agent })
    }

    async fn serve(
        &self,
        requests: &mut Streaming<FromAgent>,
        messages: &mpsc::Sender<Result<Bytes, Status>>,
        connection_ends: impl Future<Output = ()>,
    ) -> End {
        let subscribers = &self.shared.subscribers;
        let mut fresh = self.shared.freshness.subscribe();
        let Ok(hello) = timeout(HELLO_MAX, requests.message()).await else {
            return End::Failed(Status::deadline_exceeded("no hello"));
        };
        let mut subscription = subscribers.subscribe(&self.agent);
        let mut wanted_at = subscription.due.borrow_and_update().index;
        let mut conversation = match hello {
            Ok(Some(FromAgent { kind: Some(FromAgentKind::Hello(hello)) })) => match self.greet(hello, wanted_at).await
            {
                Ok(conversation) => conversation,
                Err(status) => return End::Failed(status),
            },
            Ok(Some(_)) => return End::Failed(Status::invalid_argument("the first message is no hello")),
            Ok(None) | Err(_) => return End::Left,
        };
        let mut connection_ends = pin!(connection_ends);
        let mut issuing = JoinSet::new();
        let mut aimed_at = None;
        let (mut check_at, mut checks) = (self.next_check(), 0_u32);
        loop {
            if let Some(denial) = self.denial() {
                return End::Denied(denial);
            }
            if conversation.can_aim() && aimed_at < Some(wanted_at) {
                aimed_at = Some(wanted_at);
                conversation.aim(&subscribers.visible(&self.agent, wanted_at));
            }
            subscription.owes_since(conversation.propagation.owed_since());
            tokio::select! {
                biased;
                () = &mut connection_ends => return End::Left,
                () = until_stale(&mut fresh) => {
                    return End::Failed(Status::unavailable("this replica has lost contact with the leader"));
                }
                room = messages.reserve(), if conversation.has_message() => match room {
                    Ok(room) => {
                        if let Some(message) = conversation.next() {
                            room.send(Ok(message));
                        }
                    }
                    Err(_) => return End::Left,
                },
                Some(answer) = issuing.join_next() => match answer {
                    Ok(answer) => conversation.answers.push_back(answer),
                    Err(error) => return End::Failed(Status::internal(error.to_string())),
                },
                // Signing that is asked for waits at the agent while there is enough of it here.
                message = requests.message(), if issuing.len() + conversation.answers.len() < ISSUES_MAX => {
                    match message.ok().flatten().map(|message| message.kind) {
                        Some(Some(FromAgentKind::Issue(asked))) => {
                            issuing.spawn(issue::answer(Arc::clone(&self.svids), self.caller.clone(), asked));
                        }
                        Some(Some(FromAgentKind::Ack(ack))) => {
                            self.acknowledged(&ack);
                            let taken = conversation.propagation.acknowledged(&ack.set_hash);
                            taken.for_each(|took| metrics::propagated(true, took));
                        }
                        Some(Some(FromAgentKind::Held(piece))) => {
                            let visible = subscribers.visible(&self.agent, wanted_at).len();
                            if conversation.described(piece, visible) {
                                aimed_at = None;
                            }
                        }
                        Some(Some(FromAgentKind::Hello(_))) => {
                            return End::Failed(Status::invalid_argument("a second hello"));
                        }
                        Some(None) => return End::Failed(Status::invalid_argument("a message says nothing known")),
                        None => return End::Left,
                    }
                }
                Ok(()) = subscription.due.changed() => {
                    let due = *subscription.due.borrow_and_update();
                    wanted_at = due.index;
                    conversation.propagation.applied(due.applied_at);
                }
                () = messages.closed() => return End::Left,
                () = sleep_until(check_at) => {
                    self.is_alive();
                    check_at = self.next_check();
                    checks += 1;
                    if checks.is_multiple_of(CHECKS_PER_LOOK) {
                        // Nothing should have been missed; an agent must not stay behind for good if it was.
                        wanted_at = self.shared.replica.state().read().applied_index().max(wanted_at);
                    }
                }
            }
        }
    }

    async fn greet(&self, hello: Hello, index: u64) -> Result<Conversation, Status> {
        if hello.protocol < PROTOCOL {
            return Err(Status::invalid_argument(format!("protocol {} is unknown", hello.protocol)));
        }
        self.shared.freshness.check().map_err(|stale| Status::unavailable(stale.to_string()))?;
        let cluster = self.shared.replica.state().read().cluster().map(|cluster| cluster.uuid);
        let cluster = cluster.ok_or_else(|| Status::unavailable("server is initializing"))?;
        note_version(&self.shared, &self.caller, hello.agent_version).await?;
        let welcome = Welcome {
            protocol: PROTOCOL,
            cluster_uuid: uuid::Uuid::from_bytes(cluster).to_string(),
            applied_index: index,
        };
        let mut conversation = Conversation::default();
        conversation.answers.push_back(encoded(Kind::Welcome(welcome)));
        if hello.set_hash.is_empty() {
            return Ok(conversation);
        }
        let wanted = self.shared.subscribers.visible(&self.agent, index);
        let held = <[u8; HASH_BYTES]>::try_from(hello.set_hash.as_slice()).ok();
        if held.is_some_and(|held| held == wanted.hash) {
            conversation.answers.push_back(changes::none(&wanted));
            conversation.base = Base::Sent(wanted);
        } else if let Some(known) = held.and_then(|held| self.shared.subscribers.set(&held)) {
            conversation.base = Base::Sent(known);
        } else {
            metrics::push_resync();
            conversation.answers.push_back(encoded(Kind::Describe(Describe {})));
            conversation.base = Base::Awaited;
        }
        Ok(conversation)
    }

    /// Whether the certificate that opened the stream is still the agent's, as each call of it would be asked. The
    /// replica knew the agent when it was let in, and only moves forward.
    fn denial(&self) -> Option<Denial> {
        let Some(identity) = self.caller.caller().identity() else { return Some(Denial::NotAttested) };
        let record = self.shared.replica.state().read().agent(&self.agent).cloned();
        match decide(record.as_deref(), &identity.serial, identity.not_after, self.shared.clock.now()) {
            AgentDecision::Allow | AgentDecision::Promote => None,
            // The agent has attested anew and comes back with its other SVID. Calls with this one are told.
            AgentDecision::Deny(Denial::NotActive) => Some(Denial::NotActive),
            AgentDecision::Deny(denial) => {
                call_log::turned_away(denial, &identity.serial, record.as_deref());
                Some(denial)
            }
        }
    }

    fn acknowledged(&self, ack: &Ack) {
        self.is_alive();
        self.shared.acknowledgements.reported(&self.agent, ack.bundle_sequence);
    }

    fn is_alive(&self) {
        if let Some(identity) = self.caller.caller().identity() {
            self.shared.acknowledgements.authenticated(&self.agent, identity);
        }
    }

    /// In [`CHECK_INTERVAL`], or when the certificate expires.
    fn next_check(&self) -> Instant {
        let not_after = self.caller.caller().identity().map(|identity| identity.not_after);
        let left = not_after.map(|not_after| not_after.since(self.shared.clock.now()) + EXPIRY_MARGIN);
        Instant::now() + left.unwrap_or(CHECK_INTERVAL).min(CHECK_INTERVAL)
    }
}

/// What was said and what is still to say. At most one change is under way.
#[derive(Default)]
struct Conversation {
    base: Base,
    description: Description,
    change: Option<Under>,
    propagation: Propagation,
    /// Everything but changes. Goes first: an SVID is waited for.
    answers: VecDeque<Bytes>,
}

/// What the agent holds.
#[derive(Default)]
enum Base {
    #[default]
    Nothing,
    /// It was asked.
    Awaited,
    Described(Held),
    Sent(Arc<Visible>),
}

/// A change that is being sent.
struct Under {
    pieces: Arc<[Bytes]>,
    sent: usize,
    to: Arc<Visible>,
}

impl Conversation {
    fn can_aim(&self) -> bool {
        self.change.is_none() && !matches!(self.base, Base::Awaited)
    }

    /// Begins the change from what the agent holds to `to`, if it is one.
    fn aim(&mut self, to: &Arc<Visible>) {
        let pieces = match &self.base {
            Base::Sent(from) if from.hash == to.hash => return self.propagation.aimed(false),
            Base::Sent(from) => to.change_from(from),
            Base::Described(held) => changes::between(held, 0, to).into(),
            Base::Nothing => changes::whole(to).into(),
            Base::Awaited => return,
        };
        self.propagation.aimed(true);
        self.change = Some(Under { pieces, sent: 0, to: Arc::clone(to) });
    }

    /// Whether the agent has said now what it holds.
    fn described(&mut self, piece: wire::Held, visible: usize) -> bool {
        let Some(held) = self.description.add(piece, visible) else { return false };
        if !matches!(self.base, Base::Awaited) {
            metrics::push_resync();
        }
        self.base = held.map_or(Base::Nothing, Base::Described);
        self.change = None;
        true
    }

    fn has_message(&self) -> bool {
        !self.answers.is_empty() || self.change.is_some()
    }

    fn next(&mut self) -> Option<Bytes> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let change = self.change.as_mut()?;
        let piece = change.pieces.get(change.sent).cloned();
        change.sent += 1;
        if change.sent >= change.pieces.len() {
            let hash = change.to.hash;
            self.base = Base::Sent(Arc::clone(&change.to));
            self.change = None;
            metrics::push_change();
            if let Some(took) = self.propagation.sent(hash) {
                metrics::propagated(false, took);
            }
        }
        piece
    }
}

/// An agent says it in the same breath as it opens the stream.
const HELLO_MAX: Duration = Duration::from_secs(10);
/// For the last message to an agent that is sent away.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// Messages with CSRs that are answered at the same time.
const ISSUES_MAX: usize = 4;
/// An agent counts as alive for a minute after it was heard of (`ca::acknowledgement`).
const CHECK_INTERVAL: Duration = Duration::from_secs(20);
/// Every five minutes.
const CHECKS_PER_LOOK: u32 = 15;
const EXPIRY_MARGIN: Duration = Duration::from_millis(1);
