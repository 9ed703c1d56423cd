//! Keeps the stores as the records want them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use metrics::gauge;
use steeple_core::plugin::{StoreError, StoredSvid, SvidStore};
use steeple_core::{Bundle, Entry};
use steeple_telemetry::metric::CallTimer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Due, Records, Refusal, STORED_MAX, Slot, Stores};
use crate::cache::Cache;
use crate::metrics::{STORE_OPEN, STORE_UPDATES};

pub struct StoreDriver {
    pub stores: Stores,
    pub cache: Arc<Cache>,
    /// Unix seconds of the last sync; 0 before the first in the life of this process.
    pub synced: watch::Receiver<i64>,
}

/// What has been told already of entries that are not stored, by id.
type Told = BTreeMap<String, (i64, Refusal)>;

impl StoreDriver {
    /// Runs until `stop`. What is in the stores stays then.
    pub async fn run(self, stop: CancellationToken) {
        let stores = join_all(self.stores.iter().map(|store| self.keep(store)));
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.tell() => match never {},
            // No store's part ends; without a store there is nothing to wait for, and entries that want one are told.
            _ = stores, if !self.stores.is_empty() => {}
        }
    }

    /// Says which entries are stored nowhere.
    async fn tell(&self) -> Infallible {
        let (mut told, mut changes) = (Told::new(), self.cache.changes());
        loop {
            changes.mark_unchanged();
            tell(&mut told, &self.stores.claims(&self.cache).refused);
            // The sender lives in the cache that is held here: this cannot fail.
            let _ = changes.changed().await;
        }
    }

    /// Each store by itself: one that hangs harms no other.
    async fn keep(&self, store: &Arc<dyn SvidStore>) -> Infallible {
        let mut records = Records::default();
        let (mut changes, mut synced) = (self.cache.changes(), self.synced.clone());
        let open = gauge!(STORE_OPEN, "svid_store" => store.name().to_owned());
        // Before a server has said which entries there are, nothing is known to be left over.
        let mut look_at = None;
        let mut looked = false;
        loop {
            changes.mark_unchanged();
            if !looked && look_at.is_none() && *synced.borrow_and_update() > 0 {
                look_at = Some(Instant::now());
            }
            if look_at.is_some_and(|at| at <= Instant::now()) {
                looked = look(&**store, &mut records).await;
                look_at = (!looked).then(|| Instant::now() + LOOK_AGAIN);
            }
            let mut claims = self.stores.claims(&self.cache).slots;
            claims.retain(|slot, _| slot.store == store.name());
            records.want(claims);
            let more = round(&**store, &mut records).await;
            open.set(records.open() as f64);
            if more {
                continue;
            }
            let wake_at = [records.wake_at(), look_at].into_iter().flatten().min();
            tokio::select! {
                _ = changes.changed() => {}
                Ok(()) = synced.changed(), if !looked && look_at.is_none() => {}
                () = until(wake_at) => {}
            }
        }
    }
}

/// Whether the store has told what an earlier life of this agent left there.
async fn look(store: &dyn SvidStore, records: &mut Records) -> bool {
    match limited(store.kept()).await {
        Ok(places) => {
            for place in places.into_iter().take(STORED_MAX) {
                records.found(Slot { store: store.name().to_owned(), place });
            }
            true
        }
        Err(error) => {
            tracing::warn!(
                subsystem_name = SUBSYSTEM,
                svid_store = store.name(),
                %error,
                "SVIDs of entries that are gone cannot be looked for"
            );
            false
        }
    }
}

/// Does what is due, several things at a time. Whether there may be more.
async fn round(store: &dyn SvidStore, records: &mut Records) -> bool {
    let due = records.due(Instant::now(), ROUND_MAX);
    if due.is_empty() {
        return false;
    }
    let timer = CallTimer::start(STORE_UPDATES);
    let outcomes = join_all(due.iter().map(|due| carry_out(store, due))).await;
    let mut status = "OK";
    for (due, outcome) in due.iter().zip(outcomes) {
        let now = Instant::now();
        let outcome = match outcome {
            Ok(()) => {
                records.done(due, now);
                Ok(())
            }
            Err(error) => {
                status = "Unknown";
                Err((error, records.failed(due, now)))
            }
        };
        log(due, outcome);
    }
    timer.done(status);
    true
}

async fn carry_out(store: &dyn SvidStore, due: &Due) -> Result<(), StoreError> {
    match due {
        Due::Delete(slot) => limited(store.delete(&slot.place)).await,
        Due::Put { claim, content, .. } => {
            let federated: Vec<&Bundle> = content.federated.values().map(AsRef::as_ref).collect();
            let svid = StoredSvid {
                spiffe_id: &content.svid.spiffe_id,
                expires_at: content.svid.not_after,
                chain: &content.svid.chain,
                key: &content.svid.key,
                bundle: &content.bundle,
                federated: &federated,
            };
            limited(store.put(&claim.values, svid)).await
        }
    }
}

/// In SPIRE's words.
fn log(due: &Due, outcome: Result<(), (StoreError, Duration)>) {
    let Slot { store: svid_store, place } = due.slot();
    let span = match due {
        Due::Delete(_) => tracing::error_span!("svid", subsystem_name = SUBSYSTEM, svid_store, %place),
        Due::Put { claim, .. } => {
            let Entry { id: entry, spiffe_id, .. } = &*claim.entry;
            tracing::error_span!("svid", subsystem_name = SUBSYSTEM, svid_store, %place, entry, %spiffe_id)
        }
    };
    let _inside = span.enter();
    match (due, outcome) {
        (Due::Put { .. }, Ok(())) => tracing::debug!("SVID stored successfully"),
        (Due::Delete(_), Ok(())) => tracing::debug!("SVID deleted successfully"),
        (Due::Put { .. }, Err((error, retry_interval))) => {
            tracing::error!(%error, ?retry_interval, "Failed to put X509-SVID");
        }
        (Due::Delete(_), Err((error, retry_interval))) => {
            tracing::error!(%error, ?retry_interval, "Failed to delete SVID");
        }
    }
}

/// Says of each entry once why it is not stored, and again when that or the entry has changed.
fn tell(told: &mut Told, refused: &[(Arc<Entry>, Refusal)]) {
    let now: Told = refused.iter().map(|(entry, why)| (entry.id.clone(), (entry.revision, why.clone()))).collect();
    for (entry, refusal) in refused {
        if told.get(&entry.id) != now.get(&entry.id) {
            let Entry { id, spiffe_id, .. } = &**entry;
            let error = refusal;
            tracing::error!(subsystem_name = SUBSYSTEM, entry = %id, %spiffe_id, %error, "SVID cannot be stored");
        }
    }
    *told = now;
}

async fn limited<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Failed(format!("the store has not answered for {} s", CALL_MAX.as_secs()))),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// SPIRE's name for this part of the log.
const SUBSYSTEM: &str = "svid_store_service";
/// Calls at one time.
const ROUND_MAX: usize = 32;
/// A disk or a service that hangs keeps the others waiting for no longer.
const CALL_MAX: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(60);
