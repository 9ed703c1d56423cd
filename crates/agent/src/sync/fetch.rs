//! Entries and bundles from the server, by SPIRE's poll protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{StreamExt as _, iter};
use steeple_api::convert::{bundle_from_wire, entry_from_wire};
use steeple_api::push::entry_mask;
use steeple_api::server::bundle::bundle_client::BundleClient;
use steeple_api::server::bundle::{GetBundleRequest, GetFederatedBundleRequest};
use steeple_api::server::entry::entry_client::EntryClient;
use steeple_api::server::entry::{GetAuthorizedEntriesRequest, SyncAuthorizedEntriesRequest};
use steeple_api::types;
use steeple_core::{Bundle, Entry, TrustDomain};
use steeple_transport::serve::MESSAGE_BYTES_MAX;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::upstream::{CallTimes, Upstream, explained};

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("failed to fetch authorized entries: {}", explained(.0))]
    Entries(Status),
    #[error("failed to fetch bundle: {}", explained(.0))]
    Bundle(Status),
    #[error("failed to fetch federated bundle of {trust_domain}: {}", explained(.status))]
    FederatedBundle { trust_domain: TrustDomain, status: Status },
    #[error("server sent a malformed bundle: {0}")]
    Malformed(String),
}

impl FetchError {
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Entries(status) | Self::Bundle(status) | Self::FederatedBundle { status, .. } => Some(status),
            Self::Malformed(_) => None,
        }
    }
}

/// The entries of this agent. `known` saves sending again what did not change; `incremental` is off for servers without
/// SyncAuthorizedEntries.
pub async fn fetch_entries(
    upstream: &Upstream,
    known: &BTreeMap<String, Arc<Entry>>,
    incremental: bool,
) -> Result<Vec<Entry>, FetchError> {
    let trust_domain = upstream.trust_domain().clone();
    let fetch = |channel: Channel| {
        let trust_domain = trust_domain.clone();
        async move {
            let mut client = EntryClient::new(channel).max_decoding_message_size(ENTRIES_BYTES_MAX);
            if !incremental {
                return whole(&mut client, &trust_domain).await;
            }
            match synced(&mut client, &trust_domain, known).await {
                Err(status) if status.code() == Code::Unimplemented => whole(&mut client, &trust_domain).await,
                result => result,
            }
        }
    };
    upstream.call(CallTimes::long(SYNC_TIMEOUT), fetch).await.map_err(FetchError::Entries)
}

async fn whole(client: &mut EntryClient<Channel>, trust_domain: &TrustDomain) -> Result<Vec<Entry>, Status> {
    let request = GetAuthorizedEntriesRequest { output_mask: Some(entry_mask()) };
    let response = client.get_authorized_entries(request).await?.into_inner();
    Ok(response.entries.iter().filter_map(|wire| parse_entry(trust_domain, wire)).collect())
}

/// One exchange of SyncAuthorizedEntries: either everything at once, or revisions and then what is stale.
async fn synced(
    client: &mut EntryClient<Channel>,
    trust_domain: &TrustDomain,
    known: &BTreeMap<String, Arc<Entry>>,
) -> Result<Vec<Entry>, Status> {
    let (requests, outgoing) = mpsc::channel(1);
    let gone = |_| Status::cancelled("sync stream ended");
    let first = SyncAuthorizedEntriesRequest { output_mask: Some(entry_mask()), ids: Vec::new() };
    requests.send(first).await.map_err(gone)?;
    let mut responses = client.sync_authorized_entries(ReceiverStream::new(outgoing)).await?.into_inner();
    let mut response = responses.message().await?.unwrap_or_default();
    if response.entry_revisions.is_empty() {
        return Ok(response.entries.iter().filter_map(|wire| parse_entry(trust_domain, wire)).collect());
    }
    let page_entries = response.entry_revisions.len();
    let mut kept = Vec::new();
    let mut stale = BTreeSet::new();
    loop {
        for revision in &response.entry_revisions {
            match known.get(&revision.id) {
                Some(entry)
                    if entry.revision == revision.revision_number && entry.created_at == revision.created_at =>
                {
                    kept.push((**entry).clone());
                }
                _ => {
                    stale.insert(revision.id.clone());
                }
            }
        }
        if !response.more {
            break;
        }
        if kept.len() + stale.len() > ENTRIES_MAX {
            return Err(Status::out_of_range(format!("the server names more than {ENTRIES_MAX} entries")));
        }
        response = next(&mut responses).await?;
    }
    let stale: Vec<String> = stale.into_iter().collect();
    for ids in stale.chunks(page_entries.max(1)) {
        let request = SyncAuthorizedEntriesRequest { output_mask: None, ids: ids.to_vec() };
        requests.send(request).await.map_err(gone)?;
        loop {
            let response = next(&mut responses).await?;
            kept.extend(response.entries.iter().filter_map(|wire| parse_entry(trust_domain, wire)));
            if !response.more {
                break;
            }
        }
    }
    Ok(kept)
}

async fn next<T>(responses: &mut tonic::Streaming<T>) -> Result<T, Status> {
    responses.message().await?.ok_or_else(|| Status::unavailable("sync stream ended early"))
}

/// Entries that cannot be used are skipped with a warning: one bad entry must not cost the others.
pub fn parse_entry(trust_domain: &TrustDomain, wire: &types::Entry) -> Option<Entry> {
    match entry_from_wire(trust_domain, wire, Some(&entry_mask())) {
        Ok(draft) if !draft.entry.selectors.is_empty() => Some(draft.entry),
        Ok(_) => {
            tracing::warn!(entry_id = %wire.id, "Entry has no selectors; ignoring");
            None
        }
        Err(error) => {
            tracing::warn!(entry_id = %wire.id, error = %error, "Received malformed entry from SPIRE server");
            None
        }
    }
}

/// The own bundle and those of `domains`. A domain that the server does not have is left out.
pub async fn fetch_bundles(upstream: &Upstream, domains: BTreeSet<TrustDomain>) -> Result<Vec<Bundle>, FetchError> {
    let own = fetch_own(upstream).await?;
    let fetches = iter(domains).map(|domain| fetch_federated(upstream, domain)).buffer_unordered(PARALLEL_MAX);
    let fetched: Vec<Result<Option<Bundle>, FetchError>> = fetches.collect().await;
    let mut bundles = vec![own];
    for bundle in fetched {
        bundles.extend(bundle?);
    }
    Ok(bundles)
}

/// The own bundle over a connection without a client certificate, right after attestation.
pub async fn fetch_anonymous_bundle(channel: Channel) -> Result<Bundle, FetchError> {
    let mut client = BundleClient::new(channel);
    let request = client.get_bundle(GetBundleRequest { output_mask: None });
    let response = tokio::time::timeout(SYNC_TIMEOUT, request)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no bundle in time")));
    parse_bundle(&response.map_err(FetchError::Bundle)?.into_inner())
}

async fn fetch_own(upstream: &Upstream) -> Result<Bundle, FetchError> {
    let fetch =
        |channel| async move { BundleClient::new(channel).get_bundle(GetBundleRequest { output_mask: None }).await };
    let wire = upstream.call(CallTimes::long(SYNC_TIMEOUT), fetch).await.map_err(FetchError::Bundle)?.into_inner();
    parse_bundle(&wire)
}

async fn fetch_federated(upstream: &Upstream, trust_domain: TrustDomain) -> Result<Option<Bundle>, FetchError> {
    let name = trust_domain.name().to_owned();
    let fetch = |channel| {
        let request = GetFederatedBundleRequest { trust_domain: name.clone(), output_mask: None };
        async move { BundleClient::new(channel).get_federated_bundle(request).await }
    };
    match upstream.call(CallTimes::long(SYNC_TIMEOUT), fetch).await {
        Ok(response) => parse_bundle(&response.into_inner()).map(Some),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(FetchError::FederatedBundle { trust_domain, status }),
    }
}

pub fn parse_bundle(wire: &types::Bundle) -> Result<Bundle, FetchError> {
    bundle_from_wire(wire, None).map_err(|error| FetchError::Malformed(error.to_string()))
}

/// SPIRE's limit for one sync as a whole.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);
/// One agent's entries; a node has a few hundred workloads at most.
const ENTRIES_MAX: usize = 1_000_000;
/// GetAuthorizedEntries sends everything at once.
const ENTRIES_BYTES_MAX: usize = 16 * MESSAGE_BYTES_MAX;
/// Federated bundles fetched at the same time (SPIRE behaviour).
const PARALLEL_MAX: usize = 10;
