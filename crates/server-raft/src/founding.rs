//! Whether this start founds a cluster. An empty disk under a new trust domain and one that was lost under an old one
//! look the same, so something that is not on the disk decides: the sealing key, or a record outside of all replicas.

use std::path::PathBuf;
use std::time::Duration;

use steeple_config::{FoundingRecord, ServerSettings};
use steeple_plugins::founding_record::{FoundingConfigMap, OnRecord};
use steeple_storage::Storage;

use crate::peer::{self, JoinProgress};
use crate::surroundings::Surroundings;
use crate::{raft, seal};

/// It is allowed to, its directory is empty, and there is no cluster already. A founder on a new disk joins what it
/// once founded. `name` is what the record tells of this replica.
pub async fn founds(
    settings: &ServerSettings,
    name: &str,
    storage: &Storage,
    surroundings: &Surroundings,
    progress: &JoinProgress,
) -> anyhow::Result<bool> {
    let cluster = &settings.cluster;
    if cluster.enabled && !cluster.bootstrap || raft::is_member(storage)? {
        return Ok(false);
    }
    let others: Vec<String> = cluster.join.iter().map(ToString::to_string).collect();
    let nobody_serves = async |exists: Option<&ClusterExists>| {
        let Surroundings { clock, peers, .. } = surroundings.clone();
        peer::nobody_serves(&others, exists, peers.as_ref(), clock, progress).await
    };
    let exists = match &cluster.founding_record {
        Some(_) => None,
        None => is_key_in_use(settings, storage)?,
    };
    if let Some(exists) = &exists
        && others.is_empty()
    {
        return Err(exists.clone().into());
    }
    let mut founds = nobody_serves(exists.as_ref()).await?;
    if founds
        && let Some(record) = &cluster.founding_record
        && let OnRecord::Another { founder } = claim(record, name, storage, progress).await?
    {
        let exists = ClusterExists::OnRecord { record: record.clone(), founder };
        if others.is_empty() {
            return Err(exists.into());
        }
        founds = nobody_serves(Some(&exists)).await?;
    }
    if !founds {
        tracing::info!("there is a cluster already: this server joins it as a new node");
    }
    Ok(founds)
}

/// A key that nobody else brought here, and that this directory did not begin to found with.
fn is_key_in_use(settings: &ServerSettings, storage: &Storage) -> anyhow::Result<Option<ClusterExists>> {
    let cluster = &settings.cluster;
    let key_path = &cluster.sealing_key_path;
    let is_used = key_path.exists() && !seal::is_unused(key_path) && !raft::has_begun_founding(storage)?;
    Ok((cluster.enabled && is_used).then(|| ClusterExists::KeyInUse { key_path: key_path.clone() }))
}

/// Asks until there is an answer. What is claimed under is kept with the data before it is sent: a founding that was
/// interrupted goes on, and an empty disk has no part in it.
async fn claim(
    record: &FoundingRecord,
    name: &str,
    storage: &Storage,
    progress: &JoinProgress,
) -> anyhow::Result<OnRecord> {
    let ids = storage.identity();
    let claim = match ids.get(CLAIM)? {
        Some(kept) => kept,
        None => {
            let fresh = uuid::Uuid::new_v4().as_bytes().to_vec();
            ids.put(CLAIM, &fresh)?;
            fresh
        }
    };
    let claim = hex::encode(claim);
    let FoundingRecord { namespace, configmap_name, kubeconfig_path } = record.clone();
    let config_map = FoundingConfigMap::new(namespace, configmap_name, kubeconfig_path);
    let mut told = None;
    loop {
        match config_map.claim(name, &claim).await {
            Ok(on_record) => return Ok(on_record),
            Err(error) => {
                let why = error.to_string();
                if told.as_ref() != Some(&why) {
                    tracing::warn!(reason = why, "no cluster is founded before it is known that there is none");
                    progress.waits_because(why.clone());
                    told = Some(why);
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }
}

/// Founding another one would give the trust domain a second authority that nobody trusts.
#[derive(Clone, Debug, thiserror::Error)]
enum ClusterExists {
    /// A founder makes the sealing key, so one that is there before means a cluster.
    #[error(
        "the data directory is empty, and the sealing key {0} is that of a cluster: name its other members in \
         cluster.join and start one of them, restore a backup, or, if the key is new or all is lost, make the empty \
         file {0}.unused to found a new trust domain",
        .key_path.display()
    )]
    KeyInUse { key_path: PathBuf },
    #[error(
        "the data directory is empty, and {founder:?} founded a cluster, as the ConfigMap {0}/{1} says: start one of \
         its members, restore a backup, or, if all is lost, delete the ConfigMap to found a new trust domain",
        .record.namespace, .record.configmap_name
    )]
    OnRecord { record: FoundingRecord, founder: String },
}

/// Beside what the directory remembers of its cluster.
const CLAIM: &str = "founding_claim";
/// API servers are away for seconds.
const ASK_AGAIN: Duration = Duration::from_secs(2);
