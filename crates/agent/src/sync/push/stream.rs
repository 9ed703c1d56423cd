//! One push stream, from hello to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use steeple_api::push::{EntryVersion, Held, PROTOCOL, bundle_digest, set_hash};
use steeple_api::status::permission_denied;
use steeple_api::steeple::agent::from_agent::Kind;
use steeple_api::steeple::agent::from_server::Kind as FromServerKind;
use steeple_api::steeple::agent::push_client::PushClient;
use steeple_api::steeple::agent::{Change, FromAgent, FromServer, Hello};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::assembly::{Assembled, Assembly, AssemblyError};
use super::session::PushSession;
use crate::metrics;
use crate::sync::arrivals::{Arrivals, Edition, Overtaken, names};

/// Why a stream ended.
#[derive(Debug)]
pub enum End {
    /// The server does not know the stream.
    Unknown,
    /// In good order: the connection is old, or the server stops.
    Left,
    /// The agent's identity is refused.
    Denied(Status),
    Failed(Status),
}

pub struct Stream<'a> {
    pub arrivals: &'a Arrivals,
    pub sessions: &'a watch::Sender<Option<Arc<PushSession>>>,
    /// Entries that the server sent and that cannot be used; the server must not send them again.
    pub unusable: &'a mut BTreeMap<String, EntryVersion>,
}

/// What has been said on a stream.
struct Talk {
    assembly: Assembly,
    /// Of the cache, that the assembly's account is of.
    edition: Edition,
    session: Arc<PushSession>,
    to_server: mpsc::Sender<FromAgent>,
    /// The set was another one than the server meant, and the next change builds on what the agent said to hold.
    repairing: bool,
}

impl Stream<'_> {
    /// Serves the cache from the stream until it ends; never without a reason.
    pub async fn run(&mut self, channel: Channel) -> End {
        let (edition, held) = self.held();
        let (to_server, outgoing) = mpsc::channel(MESSAGES_WAITING_MAX);
        let hello = Hello {
            protocol: PROTOCOL,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            set_hash: if held.is_empty() { Vec::new() } else { set_hash(&held).to_vec() },
            ..Hello::default()
        };
        // The channel is empty, and its other end is here.
        let _ = to_server.try_send(said(Kind::Hello(hello)));
        let mut client = PushClient::new(channel);
        let messages = match timeout(OPEN_MAX, client.sync(ReceiverStream::new(outgoing))).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return End::of(status),
            Err(_) => return End::Failed(Status::deadline_exceeded("the push stream does not open")),
        };
        let session = Arc::new(PushSession::new(to_server.clone()));
        let assembly = self.assembly(held);
        let talk = Talk { assembly, edition, session, to_server, repairing: false };
        self.follow(messages, talk).await
    }

    async fn follow(&mut self, mut messages: Streaming<FromServer>, mut talk: Talk) -> End {
        let mut silent_max = OPEN_MAX;
        let mut still_there = tokio::time::interval(self.arrivals.interval);
        loop {
            let message = tokio::select! {
                message = messages.message() => message,
                // HTTP/2 pings tell that the server is there; until the first change it owes us one.
                _ = still_there.tick(), if self.sessions.borrow().is_some() => {
                    self.arrivals.in_step();
                    continue;
                }
                () = tokio::time::sleep(silent_max), if self.sessions.borrow().is_none() => {
                    return End::Failed(Status::deadline_exceeded("no change on the push stream"));
                }
            };
            let kind = match message {
                Ok(Some(message)) => message.kind,
                Ok(None) => return End::Left,
                Err(status) => return End::of(status),
            };
            match kind {
                Some(FromServerKind::Welcome(welcome)) => {
                    tracing::debug!(applied_index = welcome.applied_index, "push stream opened");
                    silent_max = FIRST_CHANGE_MAX;
                }
                Some(FromServerKind::Describe(_)) => {
                    if let Err(status) = describe(&talk).await {
                        return End::Failed(status);
                    }
                }
                Some(FromServerKind::Change(change)) => {
                    if let Err(end) = self.changed(change, &mut talk).await {
                        return end;
                    }
                }
                Some(FromServerKind::Issued(issued)) => talk.session.answered(issued),
                Some(FromServerKind::Denial(denial)) => {
                    return End::Denied(permission_denied(denial.message.clone(), denial.reason()));
                }
                None => return End::Failed(Status::internal("the server said something unknown")),
            }
        }
    }

    async fn changed(&mut self, change: Change, talk: &mut Talk) -> Result<(), End> {
        if talk.repairing && change.from_index != 0 {
            // It was on its way when the agent said what it holds.
            return Ok(());
        }
        match talk.assembly.add(change) {
            Ok(None) => Ok(()),
            Ok(Some(assembled)) => match self.absorb(assembled, talk) {
                Ok(()) => {
                    talk.repairing = false;
                    Ok(())
                }
                // The account of what is held is of another cache.
                Err(Overtaken) => {
                    tracing::debug!("what was pushed was overtaken by what was polled; comparing");
                    let (edition, held) = self.held();
                    (talk.edition, talk.assembly) = (edition, self.assembly(held));
                    self.repair(talk).await
                }
            },
            Err(AssemblyError::OtherSet) if !talk.repairing => {
                tracing::warn!("the pushed set is not the one that the server means; comparing");
                self.repair(talk).await
            }
            Err(error) => Err(End::Failed(Status::internal(error.to_string()))),
        }
    }

    /// Has the server compare what it means with what is held.
    async fn repair(&self, talk: &mut Talk) -> Result<(), End> {
        metrics::push_resync();
        talk.repairing = true;
        describe(talk).await.map_err(End::Failed)
    }

    fn absorb(&mut self, assembled: Assembled, talk: &mut Talk) -> Result<(), Overtaken> {
        let Assembled { changed, log_index, set_hash } = assembled;
        let held = talk.assembly.held();
        let cache = &self.arrivals.cache;
        let stale = changed.entries.iter().filter(|entry| cache.holds(&entry.id)).count();
        let dropped = changed.removed_entry_ids.iter().filter(|id| cache.holds(id)).count();
        let missing = changed.entries.len() - stale;
        let (pushed, removed) = (names(&changed.entries), changed.removed_entry_ids.clone());
        talk.edition = self.arrivals.changed(talk.edition, changed)?;
        metrics::pushed(held.entries.len(), held.bundles.len(), missing, stale, dropped);
        for id in removed {
            match held.entries.get(&id) {
                Some(version) => self.unusable.insert(id, *version),
                None => self.unusable.remove(&id),
            };
        }
        for (entry_id, spiffe_id) in &pushed {
            self.unusable.remove(entry_id);
            // Whoever reads this can count on being served the entry.
            tracing::debug!(entry_id, %spiffe_id, log_index, "Entry pushed");
        }
        talk.session.serves(log_index, set_hash);
        // Told each time: whoever acknowledges has a new set to name.
        self.sessions.send_replace(Some(Arc::clone(&talk.session)));
        metrics::push_connected(true);
        Ok(())
    }

    /// What the agent holds, from wherever it came, and the edition of the cache that has it.
    fn held(&self) -> (Edition, Held) {
        let (edition, cache) = (self.arrivals.edition(), &self.arrivals.cache);
        let version =
            |entry: &steeple_core::Entry| EntryVersion { revision: entry.revision, created_at: entry.created_at };
        let mut held = Held { entries: self.unusable.clone(), bundles: BTreeMap::new() };
        held.entries.extend(cache.entries().iter().map(|state| (state.entry.id.clone(), version(&state.entry))));
        let bundles = cache.bundles();
        held.bundles.extend(bundles.iter().map(|bundle| (bundle.trust_domain.clone(), bundle_digest(bundle))));
        (edition, held)
    }

    fn assembly(&self, held: Held) -> Assembly {
        Assembly::new(self.arrivals.cache.trust_domain().clone(), held)
    }
}

impl End {
    fn of(status: Status) -> Self {
        match status.code() {
            Code::Unimplemented => Self::Unknown,
            Code::PermissionDenied => Self::Denied(status),
            _ => Self::Failed(status),
        }
    }
}

/// Says what the agent holds.
async fn describe(talk: &Talk) -> Result<(), Status> {
    for piece in talk.assembly.held().describe() {
        let sent = talk.to_server.send(said(Kind::Held(piece))).await;
        sent.map_err(|_| Status::unavailable("the push stream ended"))?;
    }
    Ok(())
}

fn said(kind: Kind) -> FromAgent {
    FromAgent { kind: Some(kind) }
}

/// Messages that wait for a slow server.
const MESSAGES_WAITING_MAX: usize = 4;
/// A server that has a stream answers at once.
const OPEN_MAX: Duration = Duration::from_secs(10);
/// Everything that an agent may see, over a slow line.
const FIRST_CHANGE_MAX: Duration = Duration::from_secs(30);
