//! openraft's state machine over `state::State` and `storage::Kv`: rows, applied index and membership of one log entry
//! go to disk in one batch, so a replay after a crash is exact.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use steeple_api::steeple::peer as pb;
use steeple_state::{CommandKind, Event, Outcome, RowChange, State, StateHash, Table, codec as state_codec};
use steeple_storage::{Batch, Installed, Kv, KvView, SnapshotFile, Snapshots, Storage};

use super::codec;
use super::published::Published;
use super::snapshot::{Snapshot, SnapshotBuilder};
use super::state_check::Checkpoint;
use super::types::{Entry, LogId, Outcomes, Proposal, SnapshotMeta, StoredMembership, TypeConfig};

/// Meta records beside the rows. They travel inside snapshots.
pub(super) const META_LAST_APPLIED: &[u8] = b"last_applied";
pub(super) const META_MEMBERSHIP: &[u8] = b"membership";

pub struct StateMachine {
    kv: Kv,
    snapshots: Snapshots,
    published: Arc<Published>,
}

/// What one entry did to the state in memory and has yet to do to the disk.
struct Effects {
    outcomes: Vec<Outcome>,
    events: Vec<Event>,
    changes: Vec<RowChange>,
    hash: StateHash,
}

impl StateMachine {
    /// Loads the state from disk. The second value is what the rest of the server watches.
    pub(super) fn open(storage: &Storage) -> Result<(Self, Arc<Published>), io::Error> {
        let kv = storage.kv();
        let (state, last_applied) = {
            let view = kv.view().map_err(io::Error::other)?;
            (load(&view)?, last_applied(&view)?)
        };
        let published = Arc::new(Published::new(state, last_applied.map_or(0, |id| id.index())));
        let machine = Self { kv, snapshots: storage.snapshots(), published: Arc::clone(&published) };
        Ok((machine, published))
    }

    fn apply_entry(&self, entry: &Entry) -> Result<Outcomes, io::Error> {
        let index = entry.log_id().index();
        let commands = match &entry.payload {
            EntryPayload::Normal(Proposal { commands, .. }) => {
                // A command that this release does not know ends here: skipping it would let replicas differ.
                state_codec::decode_commands(commands).map_err(invalid)?
            }
            EntryPayload::Blank | EntryPayload::Membership(_) => Vec::new(),
        };
        let effects = {
            let mut state = self.published.state.write();
            let mut effects =
                Effects { outcomes: Vec::new(), events: Vec::new(), changes: Vec::new(), hash: state.hash() };
            for command in &commands {
                let applied = state.apply(index, command);
                effects.outcomes.push(applied.outcome);
                effects.events.extend(applied.events);
                effects.changes.extend(applied.changes);
            }
            effects.hash = state.hash();
            effects
        };
        self.store(entry, &effects.changes)?;
        if commands.iter().any(|command| command.kind == CommandKind::Noop) {
            self.published.checkpoint(Checkpoint { index, hash: effects.hash });
        }
        self.published.advance(index, effects.hash, effects.events);
        Ok(Outcomes(effects.outcomes))
    }

    fn store(&self, entry: &Entry, changes: &[RowChange]) -> Result<(), io::Error> {
        let mut batch = Batch::new();
        for change in changes {
            let table = change.table.number();
            match &change.value {
                Some(value) => batch.put(table, &change.key, value).map_err(io::Error::other)?,
                None => batch.delete(table, &change.key).map_err(io::Error::other)?,
            }
        }
        let log_id = entry.log_id();
        batch.applied(log_id.index());
        batch.meta(META_LAST_APPLIED, &codec::to_record(&codec::log_id_to_pb(&log_id)));
        if let EntryPayload::Membership(membership) = &entry.payload {
            let stored = StoredMembership::new(Some(log_id), membership.clone());
            batch.meta(META_MEMBERSHIP, &codec::to_record(&codec::stored_membership_to_pb(&stored)));
        }
        self.kv.write(batch).map_err(io::Error::other)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let view = self.kv.view().map_err(io::Error::other)?;
        Ok((last_applied(&view)?, membership(&view)?))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let outcomes = self.apply_entry(&entry)?;
            if let Some(responder) = responder {
                responder.send(outcomes);
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<SnapshotBuilder> {
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder::new(self.snapshots.clone())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, file: SnapshotFile) -> Result<(), io::Error> {
        let Some(last) = meta.last_log_id else { return Ok(()) };
        let snapshots = self.snapshots.clone();
        let last_applied = codec::to_record(&codec::log_id_to_pb(&last));
        let membership = codec::to_record(&codec::stored_membership_to_pb(&meta.last_membership));
        let installed = blocking(move || {
            let meta = [(META_LAST_APPLIED, last_applied.as_slice()), (META_MEMBERSHIP, membership.as_slice())];
            snapshots.install(file, last.index(), &meta).map_err(io::Error::other)
        })
        .await?;
        match installed {
            Installed::Kept { .. } => {}
            Installed::Replaced => {
                let kv = self.kv.clone();
                let state = blocking(move || load(&kv.view().map_err(io::Error::other)?)).await?;
                self.published.replace(state, last.index());
                tracing::info!(index = last.index(), "a snapshot of the leader's state was installed");
            }
        }
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        super::snapshot::current(&self.snapshots)
    }
}

/// RocksDB work that takes longer than a moment, away from the threads that answer heartbeats.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, io::Error> + Send + 'static,
) -> Result<T, io::Error> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn load(view: &KvView<'_>) -> Result<State, io::Error> {
    let mut rows = Vec::new();
    for row in view.rows() {
        let row = row.map_err(io::Error::other)?;
        let table = Table::from_number(row.table).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("table {} is of a newer release; start the release that wrote it", row.table),
            )
        })?;
        rows.push((table, row.key, row.value));
    }
    let applied = view.applied().map_err(io::Error::other)?.unwrap_or(0);
    State::from_rows(applied, rows).map_err(invalid)
}

fn last_applied(view: &KvView<'_>) -> Result<Option<LogId>, io::Error> {
    let Some(record) = view.meta(META_LAST_APPLIED).map_err(io::Error::other)? else { return Ok(None) };
    Ok(Some(codec::log_id_from_pb(&codec::from_record(&record)?)))
}

fn membership(view: &KvView<'_>) -> Result<StoredMembership, io::Error> {
    match view.meta(META_MEMBERSHIP).map_err(io::Error::other)? {
        Some(record) => Ok(codec::stored_membership_from_pb(codec::from_record(&record)?)?),
        None => Ok(StoredMembership::default()),
    }
}

/// What a stored snapshot says about itself.
pub(super) fn snapshot_meta(
    meta: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<SnapshotMeta, codec::CodecError> {
    let last_log_id = match meta.get(META_LAST_APPLIED) {
        Some(record) => Some(codec::log_id_from_pb(&codec::from_record::<pb::LogId>(record)?)),
        None => None,
    };
    let last_membership = match meta.get(META_MEMBERSHIP) {
        Some(record) => codec::stored_membership_from_pb(codec::from_record(record)?)?,
        None => StoredMembership::default(),
    };
    Ok(SnapshotMeta { last_log_id, last_membership })
}
