//! Settings of `k8s_psat`.

use std::collections::BTreeMap;

use anyhow::bail;
use steeple_config::{PluginBlock, Section};
use steeple_plugins::k8s_psat::ClusterSettings;

pub(super) fn clusters(block: &PluginBlock) -> anyhow::Result<BTreeMap<String, ClusterSettings>> {
    block.read_data(|data| {
        let clusters = block.read_labelled(data, "clusters", cluster)?;
        if clusters.is_empty() {
            tracing::warn!("No clusters configured, PSAT attestation is effectively disabled");
        }
        Ok(clusters)
    })
}

fn cluster(name: &str, section: &mut Section<'_>) -> anyhow::Result<ClusterSettings> {
    let accounts = section.texts("service_account_allow_list")?.unwrap_or_default();
    if accounts.is_empty() {
        bail!("k8s_psat: cluster {name:?} configuration must have at least one service account allowed");
    }
    let set = |keys: Option<Vec<String>>| keys.unwrap_or_default().into_iter().collect();
    Ok(ClusterSettings {
        service_account_allow_list: accounts.into_iter().collect(),
        audience: section.texts("audience")?.unwrap_or_else(|| vec![ClusterSettings::AUDIENCE.to_owned()]),
        kube_config_file: section.text("kube_config_file")?.filter(|path| !path.is_empty()).map(Into::into),
        allowed_node_label_keys: set(section.texts("allowed_node_label_keys")?),
        allowed_pod_label_keys: set(section.texts("allowed_pod_label_keys")?),
        use_pod_uid_for_agent_id: section.flag("use_pod_uid_for_agent_id")?.unwrap_or(false),
    })
}
