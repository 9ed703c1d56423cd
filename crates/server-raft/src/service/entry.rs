//! `spire.api.server.entry.v1.Entry`.

use std::sync::Arc;

use steeple_api::convert::{entry_from_wire, entry_to_wire, id_from_wire, trust_domain_filter_from_wire};
use steeple_api::server::entry::entry_server::Entry as EntryApi;
use steeple_api::server::entry::*;
use steeple_api::{status, types};
use steeple_core::{Entry, SpiffeId};
use steeple_state::validate::{Action, distinct_selectors};
use steeple_state::view::{EntryFilter, TrustDomainFilter};
use steeple_state::{CommandKind, EntryCreation, EntryMask, EntryUpdate, Outcome};
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::query::{bad_token, invalid, page, selector_filter};
use super::shared::{Shared, unexpected};
use super::{failure, sync};
use crate::authz::authorized;

pub struct EntryService {
    pub shared: Arc<Shared>,
}

/// One item of a batch: refused before proposing, or its place among the proposed.
enum Item {
    Refused(types::Status),
    Proposed,
}

#[tonic::async_trait]
impl EntryApi for EntryService {
    async fn count_entries(
        &self,
        request: Request<CountEntriesRequest>,
    ) -> Result<Response<CountEntriesResponse>, Status> {
        let filter = request.into_inner().filter.unwrap_or_default();
        let filter = self.filter(ListFilter {
            by_spiffe_id: filter.by_spiffe_id,
            by_parent_id: filter.by_parent_id,
            by_selectors: filter.by_selectors,
            by_federates_with: filter.by_federates_with,
            by_hint: filter.by_hint,
            by_downstream: filter.by_downstream,
        })?;
        let view = self.shared.fresh().await?;
        let count = view.state().count_entries(&filter);
        Ok(Response::new(CountEntriesResponse { count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let request = request.into_inner();
        let filter = self.filter(request.filter.unwrap_or_default())?;
        let view = self.shared.fresh().await?;
        let page = {
            let state = view.state();
            state
                .entries(&filter, page(request.page_size, &request.page_token))
                .map_err(bad_token("failed to list entries"))?
        };
        let mask = request.output_mask.as_ref();
        Ok(Response::new(ListEntriesResponse {
            entries: page.items.iter().map(|entry| entry_to_wire(entry, mask)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn get_entry(&self, request: Request<GetEntryRequest>) -> Result<Response<types::Entry>, Status> {
        let request = request.into_inner();
        if request.id.is_empty() {
            return Err(Status::invalid_argument("missing ID"));
        }
        let view = self.shared.fresh().await?;
        let entry = view.state().entry(&request.id).cloned().ok_or_else(|| Status::not_found("entry not found"))?;
        Ok(Response::new(entry_to_wire(&entry, request.output_mask.as_ref())))
    }

    async fn batch_create_entry(
        &self,
        request: Request<BatchCreateEntryRequest>,
    ) -> Result<Response<BatchCreateEntryResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let mut entries = Vec::with_capacity(request.entries.len());
        let items: Vec<Item> = request
            .entries
            .iter()
            .map(|wire| match self.draft(wire, None, Action::Create) {
                Ok(entry) => {
                    entries.push(Arc::new(entry));
                    Item::Proposed
                }
                Err(status) => Item::Refused(status),
            })
            .collect();
        let mut created = Vec::new();
        if !entries.is_empty() {
            match self.shared.propose(&caller, CommandKind::CreateEntries { entries }).await? {
                Outcome::EntriesCreated(results) => created = results,
                _ => return Err(unexpected()),
            }
        }
        let mask = request.output_mask.as_ref();
        let mut created = created.into_iter();
        let results = items.into_iter().map(|item| match item {
            Item::Refused(status) => create_result(status, None),
            Item::Proposed => match created.next() {
                Some(EntryCreation::Created(entry)) => create_result(status::ok(), Some(created_to_wire(&entry, mask))),
                Some(EntryCreation::AlreadyExists(entry)) => create_result(
                    status::status_of(Code::AlreadyExists, "similar entry already exists"),
                    Some(entry_to_wire(&entry, mask)),
                ),
                Some(EntryCreation::Rejected(why)) => create_result(failure::item(&why), None),
                None => create_result(status::status_of(Code::Internal, "no outcome"), None),
            },
        });
        Ok(Response::new(BatchCreateEntryResponse { results: results.collect() }))
    }

    async fn batch_update_entry(
        &self,
        request: Request<BatchUpdateEntryRequest>,
    ) -> Result<Response<BatchUpdateEntryResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let input_mask = request.input_mask.as_ref();
        let mask = input_mask.map_or(EntryMask::ALL, mask_from_wire);
        let mut updates = Vec::with_capacity(request.entries.len());
        let items: Vec<Item> = request
            .entries
            .iter()
            .map(|wire| match self.draft(wire, input_mask, Action::Update) {
                Ok(entry) => {
                    updates.push(EntryUpdate { entry: Arc::new(entry), mask });
                    Item::Proposed
                }
                Err(status) => Item::Refused(status),
            })
            .collect();
        let mut updated = Vec::new();
        if !updates.is_empty() {
            match self.shared.propose(&caller, CommandKind::UpdateEntries { updates }).await? {
                Outcome::EntriesUpdated(results) => updated = results,
                _ => return Err(unexpected()),
            }
        }
        let output_mask = request.output_mask.as_ref();
        let mut updated = updated.into_iter();
        let results = items.into_iter().map(|item| match item {
            Item::Refused(status) => update_result(status, None),
            Item::Proposed => match updated.next() {
                Some(Ok(entry)) => update_result(status::ok(), Some(entry_to_wire(&entry, output_mask))),
                Some(Err(why)) => update_result(failure::item(&why), None),
                None => update_result(status::status_of(Code::Internal, "no outcome"), None),
            },
        });
        Ok(Response::new(BatchUpdateEntryResponse { results: results.collect() }))
    }

    async fn batch_delete_entry(
        &self,
        request: Request<BatchDeleteEntryRequest>,
    ) -> Result<Response<BatchDeleteEntryResponse>, Status> {
        let caller = authorized(&request)?;
        let ids = request.into_inner().ids;
        if ids.is_empty() {
            return Ok(Response::new(BatchDeleteEntryResponse::default()));
        }
        let outcome = self.shared.propose(&caller, CommandKind::DeleteEntries { ids: ids.clone() }).await?;
        let Outcome::Deleted(deleted) = outcome else { return Err(unexpected()) };
        let results = ids.into_iter().zip(deleted).map(|(id, deleted)| {
            let status = deleted.map_or_else(|why| failure::item(&why), |()| status::ok());
            batch_delete_entry_response::Result { status: Some(status), id }
        });
        Ok(Response::new(BatchDeleteEntryResponse { results: results.collect() }))
    }

    async fn get_authorized_entries(
        &self,
        request: Request<GetAuthorizedEntriesRequest>,
    ) -> Result<Response<GetAuthorizedEntriesResponse>, Status> {
        let agent = authorized(&request)?.agent_id()?.clone();
        let mask = request.into_inner().output_mask;
        let entries = self.authorized_entries(&agent).await?;
        let entries = entries.iter().map(|entry| entry_to_wire(entry, mask.as_ref())).collect();
        Ok(Response::new(GetAuthorizedEntriesResponse { entries }))
    }

    async fn sync_authorized_entries(
        &self,
        request: Request<Streaming<SyncAuthorizedEntriesRequest>>,
    ) -> Result<Response<BoxStream<SyncAuthorizedEntriesResponse>>, Status> {
        let agent = authorized(&request)?.agent_id()?.clone();
        let entries = self.authorized_entries(&agent).await?;
        Ok(Response::new(sync::serve(request.into_inner(), entries)))
    }
}

type ListFilter = list_entries_request::Filter;

impl EntryService {
    async fn authorized_entries(&self, agent: &SpiffeId) -> Result<Vec<Arc<Entry>>, Status> {
        let view = self.shared.local().await?;
        let entries = view.state().authorized_entries(agent);
        Ok(entries)
    }

    /// An entry as it will be proposed, or the item's status.
    fn draft(
        &self,
        wire: &types::Entry,
        mask: Option<&types::EntryMask>,
        action: Action,
    ) -> Result<Entry, types::Status> {
        let draft = entry_from_wire(&self.shared.trust_domain, wire, mask)
            .map_err(|error| status::status_of(Code::InvalidArgument, format!("failed to convert entry: {error}")))?;
        let mut entry = draft.entry;
        entry.selectors = distinct_selectors(draft.selectors, action).map_err(|why| failure::item(&why))?;
        if entry.id.is_empty() && action == Action::Create {
            entry.id = uuid::Uuid::new_v4().to_string();
        }
        Ok(entry)
    }

    fn filter(&self, wire: ListFilter) -> Result<EntryFilter, Status> {
        let mut filter = EntryFilter { downstream: wire.by_downstream.unwrap_or(false), ..EntryFilter::default() };
        if let Some(id) = wire.by_parent_id.as_ref() {
            filter.parent_id = Some(self.member(id).map_err(|text| malformed("parent ID", &text))?);
        }
        if let Some(id) = wire.by_spiffe_id.as_ref() {
            filter.spiffe_id = Some(self.member(id).map_err(|text| malformed("SPIFFE ID", &text))?);
        }
        if let Some(selectors) = wire.by_selectors.as_ref() {
            let selectors =
                selector_filter(selectors).map_err(|error| invalid("malformed selectors filter", &error))?;
            if selectors.selectors.is_empty() {
                return Err(malformed("selectors", "empty selector set"));
            }
            filter.selectors = Some(selectors);
        }
        if let Some(domains) = wire.by_federates_with.as_ref() {
            let (trust_domains, how) = trust_domain_filter_from_wire(domains)
                .map_err(|error| invalid("malformed federates with filter", &error))?;
            filter.federates_with = Some(TrustDomainFilter { trust_domains, how });
        }
        // An empty hint filters nothing (recorded SPIRE behaviour).
        filter.hint = wire.by_hint.filter(|hint| !hint.is_empty());
        Ok(filter)
    }

    fn member(&self, id: &types::Spiffeid) -> Result<SpiffeId, String> {
        let id = id_from_wire(Some(id)).map_err(|error| error.to_string())?;
        let own = &self.shared.trust_domain;
        if id.is_member_of(own) { Ok(id) } else { Err(format!("\"{id}\" is not a member of trust domain \"{own}\"")) }
    }
}

fn malformed(filter: &str, why: &str) -> Status {
    Status::invalid_argument(format!("malformed {filter} filter: {why}"))
}

fn create_result(status: types::Status, entry: Option<types::Entry>) -> batch_create_entry_response::Result {
    batch_create_entry_response::Result { status: Some(status), entry }
}

/// The answer to a creation names DNS names in the order of the alphabet, though the entry keeps theirs (recorded SPIRE
/// behaviour).
fn created_to_wire(entry: &Entry, mask: Option<&types::EntryMask>) -> types::Entry {
    let mut wire = entry_to_wire(entry, mask);
    wire.dns_names.sort_unstable();
    wire
}

fn update_result(status: types::Status, entry: Option<types::Entry>) -> batch_update_entry_response::Result {
    batch_update_entry_response::Result { status: Some(status), entry }
}

fn mask_from_wire(wire: &types::EntryMask) -> EntryMask {
    EntryMask {
        spiffe_id: wire.spiffe_id,
        parent_id: wire.parent_id,
        selectors: wire.selectors,
        x509_svid_ttl: wire.x509_svid_ttl,
        jwt_svid_ttl: wire.jwt_svid_ttl,
        federates_with: wire.federates_with,
        admin: wire.admin,
        downstream: wire.downstream,
        expires_at: wire.expires_at,
        dns_names: wire.dns_names,
        store_svid: wire.store_svid,
        hint: wire.hint,
        additional_attributes: wire.additional_attributes,
    }
}
