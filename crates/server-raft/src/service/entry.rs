//! `spire.api.server.entry.v1.Entry`.

use std::sync::Arc;

use steeple_api::convert::{EntryDraft, entry_from_wire, entry_to_wire};
use steeple_api::server::entry::entry_server::Entry as EntryApi;
use steeple_api::server::entry::*;
use steeple_api::{status, types};
use steeple_core::{Entry, Selector, SpiffeId};
use steeple_state::validate::{self, Action, convertible};
use steeple_state::{
    Code as StateCode, CommandKind, EntryCreation, EntryMask, EntryUpdate, JudgedUpdate, Outcome, Rejection, State,
};
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::entry_filter::entry_filter;
use super::query::{page, refuse_endless};
use super::shared::{Shared, View, unexpected};
use super::{failure, sync};
use crate::authz::{Authorized, Rights, authorized};

pub struct EntryService {
    pub shared: Arc<Shared>,
}

#[tonic::async_trait]
impl EntryApi for EntryService {
    async fn count_entries(
        &self,
        request: Request<CountEntriesRequest>,
    ) -> Result<Response<CountEntriesResponse>, Status> {
        let caller = authorized(&request)?;
        let filter = request.into_inner().filter.unwrap_or_default();
        let filter = list_entries_request::Filter {
            by_spiffe_id: filter.by_spiffe_id,
            by_parent_id: filter.by_parent_id,
            by_selectors: filter.by_selectors,
            by_federates_with: filter.by_federates_with,
            by_hint: filter.by_hint,
            by_downstream: filter.by_downstream,
        };
        let mut filter = entry_filter(filter, &self.shared.trust_domain, "failed to count entries")?;
        filter.within = caller.rights().map(Rights::entries);
        let view = self.shared.fresh().await?;
        let count = view.state().count_entries(&filter);
        Ok(Response::new(CountEntriesResponse { count: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        let what = "failed to list entries";
        let mut filter = entry_filter(request.filter.unwrap_or_default(), &self.shared.trust_domain, what)?;
        filter.within = caller.rights().map(Rights::entries);
        let view = self.shared.fresh().await?;
        let page = {
            let state = view.state();
            state.entries(&filter, page(request.page_size, &request.page_token)).map_err(|error| {
                // SPIRE wraps it twice.
                Status::internal(format!("{what}: datastore-sql: rpc error: code = InvalidArgument desc = {error}"))
            })?
        };
        let mask = request.output_mask.as_ref();
        Ok(Response::new(ListEntriesResponse {
            entries: page.items.iter().map(|entry| entry_to_wire(entry, mask)).collect(),
            next_page_token: page.next.unwrap_or_default(),
        }))
    }

    async fn get_entry(&self, request: Request<GetEntryRequest>) -> Result<Response<types::Entry>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        if request.id.is_empty() {
            return Err(Status::invalid_argument("missing ID"));
        }
        let view = self.shared.fresh().await?;
        let entry = view.state().entry(&request.id).cloned();
        let entry = entry.filter(|entry| caller.rights().is_none_or(|rights| rights.sees(entry)));
        let entry = entry.ok_or_else(|| Status::not_found("entry not found"))?;
        Ok(Response::new(entry_to_wire(&entry, request.output_mask.as_ref())))
    }

    async fn batch_create_entry(
        &self,
        request: Request<BatchCreateEntryRequest>,
    ) -> Result<Response<BatchCreateEntryResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        refuse_endless(request.entries.len())?;
        let drafts: Vec<_> = request.entries.iter().map(|wire| self.draft(wire, None, Action::Create)).collect();
        let view = self.view_to_judge_by(&caller, &drafts).await?;
        let mut entries = Vec::with_capacity(drafts.len());
        // `None` is answered by what is proposed.
        let mut answers = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let answer = match &draft {
                Err(why) => Some(EntryCreation::Rejected(why.clone())),
                Ok(draft) => view.as_ref().and_then(|view| {
                    let state = view.state();
                    let denied = caller.rights().and_then(|rights| rights.allow_entry(&state, &draft.entry).err());
                    denied
                        .map(|denied| EntryCreation::Rejected(denied.into()))
                        .or_else(|| creation_of_repetition(&state, draft))
                }),
            };
            if let (None, Ok(draft)) = (&answer, draft) {
                entries.push(Arc::new(draft.entry));
            }
            answers.push(answer);
        }
        let mut created = Vec::new();
        if !entries.is_empty() {
            match self.shared.propose(&caller, CommandKind::CreateEntries { entries }).await? {
                Outcome::EntriesCreated(results) => created = results,
                _ => return Err(unexpected()),
            }
        }
        let mask = request.output_mask.as_ref();
        let mut created = created.into_iter();
        let results = answers.into_iter().map(|answer| match answer.or_else(|| created.next()) {
            Some(EntryCreation::Created(entry)) => create_result(status::ok(), Some(written_to_wire(&entry, mask))),
            Some(EntryCreation::AlreadyExists(entry)) => create_result(
                failure::item_of(Code::AlreadyExists, "similar entry already exists"),
                Some(entry_to_wire(&entry, mask)),
            ),
            Some(EntryCreation::Rejected(why)) => create_result(failure::item(&why), None),
            None => create_result(failure::item_of(Code::Internal, "no outcome"), None),
        });
        Ok(Response::new(BatchCreateEntryResponse { results: results.collect() }))
    }

    async fn batch_update_entry(
        &self,
        request: Request<BatchUpdateEntryRequest>,
    ) -> Result<Response<BatchUpdateEntryResponse>, Status> {
        let caller = authorized(&request)?;
        let request = request.into_inner();
        refuse_endless(request.entries.len())?;
        let input_mask = request.input_mask.as_ref();
        let mask = input_mask.map_or(EntryMask::ALL, mask_from_wire);
        let drafts: Vec<_> = request.entries.iter().map(|wire| self.draft(wire, input_mask, Action::Update)).collect();
        let view = self.view_to_judge_by(&caller, &drafts).await?;
        let mut updates = Vec::with_capacity(drafts.len());
        // Of callers with limited rights.
        let mut judged = Vec::new();
        // `None` is answered by what is proposed.
        let mut answers = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let update = draft.map(|draft| (EntryUpdate { entry: Arc::new(draft.entry), mask }, draft.selectors));
            let answer = match &update {
                Err(why) => Some(Err(why.clone())),
                Ok((update, selectors)) => view.as_ref().and_then(|view| {
                    let state = view.state();
                    let stored = caller.rights().map(|rights| judge_update(rights, &state, update, selectors));
                    match stored.transpose() {
                        Err(why) => Some(Err(why)),
                        Ok(stored) => update_of_repetition(&state, update, selectors).or_else(|| {
                            judged.extend(stored);
                            None
                        }),
                    }
                }),
            };
            if let (None, Ok((update, _))) = (&answer, update) {
                updates.push(update);
            }
            answers.push(answer);
        }
        let mut updated = Vec::new();
        if !updates.is_empty() {
            match self.shared.propose(&caller, update_command(&caller, updates, judged)).await? {
                Outcome::EntriesUpdated(results) => updated = results,
                _ => return Err(unexpected()),
            }
        }
        let output_mask = request.output_mask.as_ref();
        let mut updated = updated.into_iter();
        let results = answers.into_iter().map(|answer| match answer.or_else(|| updated.next()) {
            Some(Ok(entry)) => update_result(status::ok(), Some(written_to_wire(&entry, output_mask))),
            Some(Err(why)) => update_result(failure::item(&why), None),
            None => update_result(failure::item_of(Code::Internal, "no outcome"), None),
        });
        Ok(Response::new(BatchUpdateEntryResponse { results: results.collect() }))
    }

    async fn batch_delete_entry(
        &self,
        request: Request<BatchDeleteEntryRequest>,
    ) -> Result<Response<BatchDeleteEntryResponse>, Status> {
        let caller = authorized(&request)?;
        let ids = request.into_inner().ids;
        refuse_endless(ids.len())?;
        if ids.is_empty() {
            return Ok(Response::new(BatchDeleteEntryResponse::default()));
        }
        let deleted = match caller.rights() {
            None => self.delete(&caller, CommandKind::DeleteEntries { ids: ids.clone() }).await?,
            Some(rights) => self.delete_judged(&caller, rights, &ids).await?,
        };
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

impl EntryService {
    async fn authorized_entries(&self, agent: &SpiffeId) -> Result<Vec<Arc<Entry>>, Status> {
        let view = self.shared.local().await?;
        let entries = view.state().authorized_entries(agent);
        Ok(entries)
    }

    /// An entry as the client sent it. Of several faults SPIRE reports the first, so the fields before one that cannot
    /// be read are checked here; the others are when the command is applied.
    fn draft(
        &self,
        wire: &types::Entry,
        mask: Option<&types::EntryMask>,
        action: Action,
    ) -> Result<EntryDraft, Rejection> {
        let trust_domain = &self.shared.trust_domain;
        let mut draft = match entry_from_wire(trust_domain, wire, mask) {
            Ok(draft) => draft,
            Err(unreadable) => {
                convertible(&unreadable.entry, mask_from_wire(&unreadable.read), trust_domain)?;
                return Err(Rejection::invalid(format!("failed to convert entry: {}", unreadable.error)));
            }
        };
        if draft.entry.id.is_empty() && action == Action::Create {
            draft.entry.id = uuid::Uuid::new_v4().to_string();
        }
        Ok(draft)
    }

    async fn delete(&self, caller: &Authorized, command: CommandKind) -> Result<Vec<Result<(), Rejection>>, Status> {
        match self.shared.propose(caller, command).await? {
            Outcome::Deleted(deleted) => Ok(deleted),
            _ => Err(unexpected()),
        }
    }

    /// For a caller with limited rights.
    async fn delete_judged(
        &self,
        caller: &Authorized,
        rights: &Rights,
        ids: &[String],
    ) -> Result<Vec<Result<(), Rejection>>, Status> {
        let answers: Vec<Result<Arc<Entry>, Rejection>> = {
            let view = self.shared.fresh().await?;
            let state = view.state();
            ids.iter().map(|id| judge_deletion(rights, &state, id)).collect()
        };
        let judged: Vec<Arc<Entry>> = answers.iter().flatten().cloned().collect();
        let mut deleted = match judged.is_empty() {
            true => Vec::new(),
            false => self.delete(caller, CommandKind::DeleteJudgedEntries { judged }).await?,
        }
        .into_iter();
        let results = answers.into_iter().map(|answer| match answer {
            Ok(_) => deleted.next().unwrap_or_else(|| Err(Rejection::new(StateCode::Internal, "no outcome"))),
            Err(why) => Err(why),
        });
        Ok(results.collect())
    }

    /// The state to judge drafts by where that is to be done before they are proposed: what a caller with limited
    /// rights may do, and repeated selectors, which the sets that replicas get cannot hold.
    async fn view_to_judge_by(
        &self,
        caller: &Authorized,
        drafts: &[Result<EntryDraft, Rejection>],
    ) -> Result<Option<View>, Status> {
        let repeats = || drafts.iter().flatten().any(|draft| repeats(&draft.entry, &draft.selectors));
        match caller.rights().is_some() || repeats() {
            true => self.shared.fresh().await.map(Some),
            false => Ok(None),
        }
    }
}

fn repeats(entry: &Entry, selectors: &[Selector]) -> bool {
    entry.selectors.len() < selectors.len()
}

/// `None` for a draft to be proposed.
fn creation_of_repetition(state: &State, draft: &EntryDraft) -> Option<EntryCreation> {
    if !repeats(&draft.entry, &draft.selectors) {
        return None;
    }
    match validate::creation(state, &draft.entry, &draft.selectors) {
        Err(why) => Some(EntryCreation::Rejected(why)),
        Ok(similar) => similar.map(EntryCreation::AlreadyExists),
    }
}

/// `None` for an update to be proposed.
fn update_of_repetition(
    state: &State,
    update: &EntryUpdate,
    selectors: &[Selector],
) -> Option<Result<Arc<Entry>, Rejection>> {
    if !repeats(&update.entry, selectors) {
        return None;
    }
    validate::update(state, update, selectors).err().map(Err)
}

/// The stored entry, if the update may be made of it and what it makes of it may be stored.
fn judge_update(
    rights: &Rights,
    state: &State,
    update: &EntryUpdate,
    selectors: &[Selector],
) -> Result<Arc<Entry>, Rejection> {
    let stored = state.entry(&update.entry.id);
    if let Some(stored) = stored {
        rights.allow_change_of(stored)?;
    }
    let wanted = validate::update(state, update, selectors)?;
    rights.allow_entry(state, &wanted)?;
    stored.cloned().ok_or_else(|| Rejection::new(StateCode::NotFound, "failed to update entry"))
}

/// The stored entry, if it may be deleted.
fn judge_deletion(rights: &Rights, state: &State, id: &str) -> Result<Arc<Entry>, Rejection> {
    if id.is_empty() {
        return Err(Rejection::invalid("missing entry ID"));
    }
    let stored = state.entry(id).ok_or_else(|| Rejection::new(StateCode::NotFound, "entry not found"))?;
    rights.allow_change_of(stored)?;
    Ok(stored.clone())
}

/// Limited rights were judged by what was stored then: the update takes effect on that alone.
fn update_command(caller: &Authorized, updates: Vec<EntryUpdate>, judged: Vec<Arc<Entry>>) -> CommandKind {
    match caller.rights() {
        None => CommandKind::UpdateEntries { updates },
        Some(_) => {
            let pairs = updates.into_iter().zip(judged);
            let updates = pairs.map(|(update, judged)| JudgedUpdate { update, judged }).collect();
            CommandKind::UpdateJudgedEntries { updates }
        }
    }
}

fn create_result(status: types::Status, entry: Option<types::Entry>) -> batch_create_entry_response::Result {
    batch_create_entry_response::Result { status: Some(status), entry }
}

/// The answer to a write names DNS names in the order of the alphabet, though the entry keeps theirs (SPIRE behaviour).
fn written_to_wire(entry: &Entry, mask: Option<&types::EntryMask>) -> types::Entry {
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
