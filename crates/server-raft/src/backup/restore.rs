//! From a backup to a data directory: the first member of a new cluster, or nothing at all.

use std::path::Path;

use steeple_api::steeple::backup as pb;
use steeple_core::TrustDomain;
use steeple_state::{Refounded, Uuid};
use steeple_storage::{Replacement, StorageError};

use super::{BackupError, Spot, open};
use crate::raft::{NewCluster, RefoundError, refound, write_refounded};
use crate::watched::{Watcher, part};

/// Where a backup goes.
pub struct Target<'a> {
    pub data_dir: &'a Path,
    /// May lie in the directory.
    pub sealing_key_path: &'a Path,
    pub trust_domain: &'a TrustDomain,
}

#[derive(Clone, Debug)]
pub struct Restored {
    pub facts: pb::Facts,
    pub cluster_uuid: Uuid,
    pub done: Refounded,
}

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(
        "the backup is of trust domain {found}, the configuration says {configured}: name the right backup, or the \
         configuration of that trust domain (-config)"
    )]
    TrustDomain { found: String, configured: TrustDomain },
    #[error("the backup cannot be made a cluster: {0}")]
    Refound(#[from] RefoundError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Opens and checks all of the backup before anything is written; the directory then has the whole store or none.
pub fn restore(
    spot: &Spot,
    target: &Target<'_>,
    new: &NewCluster<'_>,
    watcher: Watcher<'_>,
) -> Result<Restored, RestoreError> {
    let replacement = Replacement::of_nothing(target.data_dir, target.sealing_key_path)?;
    let mut reading = part(watcher, 0, 2);
    let opened = spot.read().and_then(|content| open(content.watched(&mut reading), new.sealing_key));
    let opened = opened.map_err(|error| error.at(spot))?;
    drop(reading);
    demand_trust_domain(&opened.facts, target.trust_domain)?;
    let mut reborn = refound(opened.state, new)?;
    reborn.beginning.backup_id.clone_from(&opened.facts.backup_id);
    let storage = replacement.open()?;
    // The new cluster compares no term with those of the old one.
    write_refounded(&storage, &reborn, 0, &mut part(watcher, 1, 2))?;
    drop(storage);
    replacement.commit()?;
    Ok(Restored { facts: opened.facts, cluster_uuid: reborn.cluster_uuid, done: reborn.done })
}

/// # Errors
/// [`RestoreError::TrustDomain`] when the backup is of another one.
pub fn demand_trust_domain(facts: &pb::Facts, configured: &TrustDomain) -> Result<(), RestoreError> {
    if facts.trust_domain == configured.name() {
        return Ok(());
    }
    Err(RestoreError::TrustDomain { found: facts.trust_domain.clone(), configured: configured.clone() })
}
