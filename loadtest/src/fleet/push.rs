//! The push stream of steeple-server (`steeple.agent.v1`): changes as they come, and the answer that they have arrived.

use std::sync::Arc;
use std::time::Duration;

use steeple_api::convert::bundle_from_wire;
use steeple_api::push::{EntryVersion, Held, PROTOCOL, Piece, bundle_digest, set_hash};
use steeple_api::steeple::agent::from_agent::Kind;
use steeple_api::steeple::agent::from_server::Kind as FromServer;
use steeple_api::steeple::agent::push_client::PushClient;
use steeple_api::steeple::agent::{Ack, Change as WireChange, FromAgent, Hello};
use steeple_api::types;
use steeple_core::TrustDomain;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::follow::{Change, Observer};
use super::{Agent, CALL_MAX};
use crate::load::Pace;

/// What an agent holds from one stream to the next.
#[derive(Default)]
struct Set {
    held: Held,
    /// The own one; there is always one after the first change.
    bundle: types::Bundle,
    /// Of a change whose last piece has not come.
    coming: Vec<types::Entry>,
}

/// Follows for ever, over one stream after the other. An agent that lost its stream comes back within a second, as
/// steeple-agent does.
pub(super) async fn follow<O: Observer>(
    agent: Arc<Agent>,
    observer: Arc<O>,
    mut pace: Pace,
    first: watch::Sender<usize>,
) {
    let (mut set, mut first) = (Set::default(), Some(first));
    sleep(pace.spread()).await;
    loop {
        if let Err(status) = set.stream(&agent, &*observer, &mut first).await {
            observer.failed(&agent, &status);
            agent.turn_away();
        }
        sleep(pace.within(COME_BACK_MAX)).await;
    }
}

impl Set {
    /// Until the server ends the stream in good order, or it breaks.
    async fn stream<O: Observer>(
        &mut self,
        agent: &Agent,
        observer: &O,
        first: &mut Option<watch::Sender<usize>>,
    ) -> Result<(), Status> {
        let (to_server, outgoing) = mpsc::channel(MESSAGES_WAITING_MAX);
        let set_hash = if self.held.is_empty() { Vec::new() } else { set_hash(&self.held).to_vec() };
        say(&to_server, Kind::Hello(Hello { protocol: PROTOCOL, set_hash, ..Hello::default() })).await?;
        let mut client = PushClient::new(agent.channel());
        let opened = timeout(CALL_MAX, client.sync(ReceiverStream::new(outgoing))).await;
        let mut messages = opened.map_err(|_| Status::deadline_exceeded("no stream in time"))??.into_inner();
        self.coming.clear();
        while let Some(message) = messages.message().await? {
            match message.kind {
                Some(FromServer::Change(piece)) => {
                    let Some((log_index, change)) = self.apply(piece)? else { continue };
                    let bundle_sequence = change.bundle.sequence_number;
                    observer.synced(agent, change).await;
                    let set_hash = steeple_api::push::set_hash(&self.held).to_vec();
                    say(&to_server, Kind::Ack(Ack { log_index, set_hash, bundle_sequence })).await?;
                    if let Some(first) = first.take() {
                        first.send_modify(|synced| *synced += 1);
                    }
                }
                Some(FromServer::Describe(_)) => {
                    for piece in self.held.describe() {
                        say(&to_server, Kind::Held(piece)).await?;
                    }
                }
                Some(FromServer::Denial(denial)) => return Err(Status::permission_denied(denial.message)),
                Some(FromServer::Welcome(_) | FromServer::Issued(_)) | None => {}
            }
        }
        Ok(())
    }

    /// News once the last piece has come.
    fn apply(&mut self, piece: WireChange) -> Result<Option<(u64, Change)>, Status> {
        let domain = |name: &String| TrustDomain::from_name(name).map_err(|error| Status::internal(error.to_string()));
        if piece.replace && self.coming.is_empty() {
            self.held = Held::default();
        }
        let mut by_reference = Piece {
            removed_entry_ids: piece.removed_entry_ids,
            removed_trust_domains: piece.removed_trust_domains.iter().map(domain).collect::<Result<_, _>>()?,
            ..Piece::default()
        };
        for entry in &piece.entries {
            let version = EntryVersion { revision: entry.revision_number, created_at: entry.created_at };
            by_reference.entries.push((entry.id.clone(), version));
        }
        for wire in piece.bundles {
            let bundle = bundle_from_wire(&wire, None).map_err(|error| Status::internal(error.to_string()))?;
            by_reference.bundles.push((bundle.trust_domain.clone(), bundle_digest(&bundle)));
            // Nobody federates in a load test.
            self.bundle = wire;
        }
        self.held.change(by_reference);
        self.coming.extend(piece.entries);
        if piece.more {
            return Ok(None);
        }
        if piece.set_hash != set_hash(&self.held) {
            self.held = Held::default();
            return Err(Status::data_loss("the set is not the one that the server means"));
        }
        let changed = std::mem::take(&mut self.coming);
        let change = Change { changed, entries: self.held.entries.len(), bundle: self.bundle.clone() };
        Ok(Some((piece.log_index, change)))
    }
}

async fn say(to_server: &mpsc::Sender<FromAgent>, kind: Kind) -> Result<(), Status> {
    let sent = to_server.send(FromAgent { kind: Some(kind) }).await;
    sent.map_err(|_| Status::unavailable("the push stream ended"))
}

const MESSAGES_WAITING_MAX: usize = 4;
const COME_BACK_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, revision_number: i64) -> types::Entry {
        types::Entry { id: id.to_owned(), revision_number, ..types::Entry::default() }
    }

    /// With the hash of what `ids` are.
    fn last(entries: Vec<types::Entry>, whole: &[(&str, i64)]) -> WireChange {
        let version = |revision: i64| EntryVersion { revision, created_at: 0 };
        let entries_held = whole.iter().map(|(id, revision)| ((*id).to_owned(), version(*revision))).collect();
        let held = Held { entries: entries_held, ..Held::default() };
        WireChange { entries, set_hash: set_hash(&held).to_vec(), log_index: 7, ..WireChange::default() }
    }

    #[test]
    fn a_change_counts_when_its_last_piece_has_come() {
        let mut set = Set::default();
        let first = WireChange { replace: true, more: true, entries: vec![entry("a", 1)], ..WireChange::default() };
        assert!(set.apply(first).unwrap().is_none());
        let (index, change) = set.apply(last(vec![entry("b", 1)], &[("a", 1), ("b", 1)])).unwrap().unwrap();
        assert_eq!((index, change.changed.len(), change.entries), (7, 2, 2));
        let (_, change) = set.apply(last(vec![entry("b", 2)], &[("a", 1), ("b", 2)])).unwrap().unwrap();
        assert_eq!((change.changed.len(), change.entries), (1, 2));
        set.apply(last(vec![entry("c", 1)], &[("c", 1)])).err().expect("another set");
    }
}
