//! SyncAuthorizedEntries: few entries come whole and the stream ends; many come as revisions, then as asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use steeple_api::convert::entry_to_wire;
use steeple_api::server::entry::{EntryRevision, SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse};
use steeple_api::types;
use steeple_core::Entry;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Code, Status, Streaming};

type Responses = BoxStream<SyncAuthorizedEntriesResponse>;

/// Entries and revisions in one message (SPIRE's page size; agents take it from the first page).
const PAGE_ENTRIES: usize = 500;
/// Messages that wait for a slow agent.
const RESPONSES_WAITING_MAX: usize = 2;

/// Serves one stream from a snapshot of the agent's entries.
pub fn serve(requests: Streaming<SyncAuthorizedEntriesRequest>, entries: Vec<Arc<Entry>>) -> Responses {
    let (sender, responses) = mpsc::channel(RESPONSES_WAITING_MAX);
    tokio::spawn(async move {
        if let Err(status) = run(requests, entries, &sender).await {
            // The agent is gone if this fails, and needs no status.
            let _ = sender.send(Err(status)).await;
        }
    });
    Box::pin(ReceiverStream::new(responses))
}

async fn run(
    mut requests: Streaming<SyncAuthorizedEntriesRequest>,
    entries: Vec<Arc<Entry>>,
    responses: &mpsc::Sender<Result<SyncAuthorizedEntriesResponse, Status>>,
) -> Result<(), Status> {
    let first = requests.message().await?.ok_or_else(|| Status::unknown("EOF"))?;
    if !first.ids.is_empty() {
        return Err(Status::invalid_argument("specifying IDs on initial request is not supported"));
    }
    let mask = first.output_mask;
    if mask.as_ref().is_some_and(|mask| !mask.revision_number) {
        return Err(Status::invalid_argument("revision number cannot be masked"));
    }
    if entries.len() <= PAGE_ENTRIES {
        let entries = whole(entries.iter(), mask.as_ref());
        let _ = responses.send(Ok(SyncAuthorizedEntriesResponse { entries, ..Default::default() })).await;
        return Ok(());
    }
    for response in revision_pages(&entries) {
        if responses.send(Ok(response)).await.is_err() {
            return Ok(());
        }
    }
    let by_id: BTreeMap<&str, &Arc<Entry>> = entries.iter().map(|entry| (entry.id.as_str(), entry)).collect();
    loop {
        let request = match requests.message().await {
            Ok(Some(request)) => request,
            // The agent has what it wants, or went away: an ordinary end either way.
            Ok(None) => return Ok(()),
            Err(status) if status.code() == Code::Cancelled => return Ok(()),
            Err(status) => return Err(status),
        };
        for response in asked_for(request.ids, &by_id, mask.as_ref()) {
            if responses.send(Ok(response)).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn revision_pages(entries: &[Arc<Entry>]) -> impl Iterator<Item = SyncAuthorizedEntriesResponse> {
    let pages = entries.len().div_ceil(PAGE_ENTRIES);
    entries.chunks(PAGE_ENTRIES).enumerate().map(move |(index, page)| SyncAuthorizedEntriesResponse {
        entry_revisions: page
            .iter()
            .map(|entry| EntryRevision {
                id: entry.id.clone(),
                revision_number: entry.revision,
                created_at: entry.created_at,
            })
            .collect(),
        more: index + 1 < pages,
        ..Default::default()
    })
}

/// In the order of their ids; unknown ones are left out. The last message says that no more follow, even if it is
/// empty. Each is made when the agent has taken the one before.
fn asked_for<'a>(
    mut ids: Vec<String>,
    by_id: &BTreeMap<&str, &'a Arc<Entry>>,
    mask: Option<&'a types::EntryMask>,
) -> impl Iterator<Item = SyncAuthorizedEntriesResponse> + use<'a> {
    ids.sort_unstable();
    ids.dedup();
    let found: Vec<&Arc<Entry>> = ids.iter().filter_map(|id| by_id.get(id.as_str()).copied()).collect();
    let pages = found.len().div_ceil(PAGE_ENTRIES).max(1);
    (0..pages).map(move |index| SyncAuthorizedEntriesResponse {
        entries: whole(found.iter().skip(index * PAGE_ENTRIES).take(PAGE_ENTRIES).copied(), mask),
        more: index + 1 < pages,
        ..Default::default()
    })
}

fn whole<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>, mask: Option<&types::EntryMask>) -> Vec<types::Entry> {
    entries.map(|entry| entry_to_wire(entry, mask)).collect()
}
