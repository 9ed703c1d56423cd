//! Backups of a running replica: one consistent view of its rows, while writes go on.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aws_lc_rs::rand::SystemRandom;
use steeple_api::steeple::backup as pb;
use steeple_ca::seal::{BackupCipher, BackupName, SealingKey};
use steeple_core::Clock;
use steeple_state::Table;
use steeple_storage::KvView;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::BackupError;
use super::format::FEATURE_LEVEL;
use super::writer::BackupWriter;
use crate::raft::Replica;
use crate::seal::KeyInUse;

/// Takes backups of this replica.
#[derive(Clone)]
pub struct Backups {
    replica: Replica,
    sealing_key: KeyInUse,
    clock: Arc<dyn Clock>,
    /// A backup keeps old data on disk alive and a core busy.
    turns: Arc<Semaphore>,
}

/// How many backups are taken at a time.
const BACKUPS_MAX: usize = 1;
/// Far more than one write to the store takes.
const VIEW_ATTEMPTS_MAX: usize = 100_000;

impl Backups {
    pub fn new(replica: Replica, sealing_key: KeyInUse, clock: Arc<dyn Clock>) -> Self {
        Self { replica, sealing_key, clock, turns: Arc::new(Semaphore::new(BACKUPS_MAX)) }
    }

    /// The right to take a backup, for as long as it is held; `None` while another one is being taken.
    pub fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).try_acquire_owned().ok()
    }

    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// About how many rows there are.
    pub fn rows_estimate(&self) -> u64 {
        self.replica.state().read().row_count()
    }

    /// Writes a backup of the present moment; `rows` counts along. Blocks for as long as disk and `out` take.
    pub fn write<W: Write>(&self, out: W, rows: &AtomicU64) -> Result<(W, pb::Summary), BackupError> {
        let (cluster_uuid, trust_domain) = {
            let state = self.replica.state().read();
            let cluster = state.cluster().ok_or(BackupError::Uninitialised)?;
            (cluster.uuid, cluster.trust_domain.clone())
        };
        let (view, sealing_key) = self.view()?;
        let backup_id = *uuid::Uuid::new_v4().as_bytes();
        let name = hex::encode(backup_id);
        let name = BackupName { cluster: &cluster_uuid, id: &name };
        let created = BackupCipher::create(&sealing_key, name, &SystemRandom::new());
        let (cipher, wrapped_key) = created.map_err(BackupError::Seal)?;
        let header = pb::Header {
            backup_id: backup_id.to_vec(),
            cluster_uuid: cluster_uuid.to_vec(),
            trust_domain: trust_domain.name().to_owned(),
            created_at_ms: self.clock.now().as_ms(),
            applied_index: view.applied()?.unwrap_or(0),
            feature_level: FEATURE_LEVEL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sealing_key_id: sealing_key.id().map_err(BackupError::Seal)?,
            wrapped_key,
        };
        let mut writer = BackupWriter::begin(out, &header, cipher)?;
        for row in view.rows() {
            let row = row?;
            let table = Table::from_number(row.table);
            let table = table.ok_or(BackupError::NewerFeatures { found: row.table.into() })?;
            rows.store(writer.row(table, row.key, row.value)?, Relaxed);
        }
        writer.finish()
    }

    /// The rows, and the key that opens the keyring among them: it may be replaced at this very moment.
    fn view(&self) -> Result<(KvView<'_>, Arc<SealingKey>), BackupError> {
        let keyring = || {
            let state = self.replica.state().read();
            (state.applied_index(), state.keyring().map(|sealed| sealed.revision), self.sealing_key.of(&state))
        };
        for _ in 0..VIEW_ATTEMPTS_MAX {
            let (index, revision, key) = keyring();
            let view = self.replica.rows().view()?;
            // The state in memory is an instant ahead of the rows.
            if view.applied()?.is_some_and(|applied| applied >= index) && keyring().1 == revision {
                return Ok((view, key?));
            }
            std::thread::yield_now();
        }
        Err(BackupError::Changing)
    }
}
