//! SPIRE's poll protocol: entries by SyncAuthorizedEntries, then the bundle.

use std::collections::HashSet;
use std::sync::Arc;

use steeple_api::server::bundle::GetBundleRequest;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse};
use steeple_api::types;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::dial::repeated;
use super::follow::{Change, Known, Observer};
use super::{Agent, CALL_MAX};
use crate::load::Pace;

/// Polls for ever. After a failure the connection is dropped, as stock agents do, and dialled anew at the next sync.
pub(super) async fn follow<O: Observer>(
    agent: Arc<Agent>,
    observer: Arc<O>,
    mut pace: Pace,
    first: watch::Sender<usize>,
) {
    let (mut known, mut first) = (Known::new(), Some(first));
    sleep(pace.spread()).await;
    loop {
        let outcome = sync(&agent.channel(), &mut known).await;
        let succeeded = outcome.is_ok();
        match outcome {
            Ok(change) => {
                observer.synced(&agent, change).await;
                if let Some(first) = first.take() {
                    first.send_modify(|synced| *synced += 1);
                }
            }
            Err(status) => {
                observer.failed(&agent, &status);
                agent.turn_away();
            }
        }
        sleep(pace.after(succeeded)).await;
    }
}

/// One sync.
pub(crate) async fn sync(channel: &Channel, known: &mut Known) -> Result<Change, Status> {
    let whole = async {
        // What an interrupted attempt learned stays known, and is not asked for again.
        let mut changed = Vec::new();
        let entries = match entries(channel.clone(), known, &mut changed).await {
            Err(status) if steeple_transport::client::is_unprocessed(&status) => {
                entries(channel.clone(), known, &mut changed).await?
            }
            outcome => outcome?,
        };
        let bundle = repeated(channel, bundle).await?;
        Ok(Change { changed, entries, bundle })
    };
    timeout(CALL_MAX, whole).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("no sync in time")))
}

async fn bundle(channel: Channel) -> Result<types::Bundle, Status> {
    Ok(BundleClient::new(channel).get_bundle(GetBundleRequest { output_mask: None }).await?.into_inner())
}

/// Either everything at once, or revisions and then what is stale. Returns how many there are.
async fn entries(channel: Channel, known: &mut Known, changed: &mut Vec<types::Entry>) -> Result<usize, Status> {
    let mut client = EntryClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let (requests, outgoing) = mpsc::channel(1);
    send(&requests, SyncAuthorizedEntriesRequest { output_mask: Some(mask()), ids: Vec::new() }).await?;
    let mut responses = client.sync_authorized_entries(ReceiverStream::new(outgoing)).await?.into_inner();
    let mut response = responses.message().await?.unwrap_or_default();
    let mut present = HashSet::new();
    if response.entry_revisions.is_empty() {
        present.extend(response.entries.iter().map(|entry| entry.id.clone()));
        learn(response.entries, known, changed);
    } else {
        let page = response.entry_revisions.len();
        let mut stale = Vec::new();
        loop {
            for revision in response.entry_revisions.drain(..) {
                if known.get(&revision.id) != Some(&(revision.revision_number, revision.created_at)) {
                    stale.push(revision.id.clone());
                }
                present.insert(revision.id);
            }
            if !response.more {
                break;
            }
            response = next(&mut responses).await?;
        }
        for ids in stale.chunks(page) {
            send(&requests, SyncAuthorizedEntriesRequest { output_mask: None, ids: ids.to_vec() }).await?;
            loop {
                let response = next(&mut responses).await?;
                learn(response.entries, known, changed);
                if !response.more {
                    break;
                }
            }
        }
    }
    known.retain(|id, _| present.contains(id));
    Ok(present.len())
}

fn learn(entries: Vec<types::Entry>, known: &mut Known, changed: &mut Vec<types::Entry>) {
    for entry in entries {
        let revision = (entry.revision_number, entry.created_at);
        if known.get(&entry.id) != Some(&revision) {
            known.insert(entry.id.clone(), revision);
            changed.push(entry);
        }
    }
}

async fn send(
    requests: &mpsc::Sender<SyncAuthorizedEntriesRequest>,
    request: SyncAuthorizedEntriesRequest,
) -> Result<(), Status> {
    requests.send(request).await.map_err(|_| Status::unavailable("sync stream closed"))
}

async fn next(
    responses: &mut Streaming<SyncAuthorizedEntriesResponse>,
) -> Result<SyncAuthorizedEntriesResponse, Status> {
    responses.message().await?.ok_or_else(|| Status::unavailable("sync stream ended early"))
}

/// What stock agents ask for.
fn mask() -> types::EntryMask {
    types::EntryMask {
        spiffe_id: true,
        selectors: true,
        federates_with: true,
        admin: true,
        downstream: true,
        revision_number: true,
        store_svid: true,
        hint: true,
        created_at: true,
        ..types::EntryMask::default()
    }
}

/// A page of 500 entries with long names.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_a_change() {
        let entry = |id: &str, revision_number| types::Entry {
            id: id.to_owned(),
            revision_number,
            created_at: 7,
            ..types::Entry::default()
        };
        let (mut known, mut changed) = (Known::new(), Vec::new());
        learn(vec![entry("a", 1), entry("b", 1)], &mut known, &mut changed);
        assert_eq!(changed.len(), 2);
        changed.clear();
        learn(vec![entry("a", 1), entry("b", 2)], &mut known, &mut changed);
        assert_eq!(changed.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(known["b"], (2, 7));
    }
}
