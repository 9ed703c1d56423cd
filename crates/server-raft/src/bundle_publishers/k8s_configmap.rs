//! Settings of `k8s_configmap`.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use steeple_config::{PluginBlock, Section};
use steeple_plugins::bundle_publisher_k8s_configmap::PublishedConfigMap;

pub(super) fn clusters(block: &PluginBlock) -> anyhow::Result<BTreeMap<String, PublishedConfigMap>> {
    block.read_data(|data| {
        let clusters = block.read_labelled(data, "clusters", cluster)?;
        if clusters.is_empty() {
            tracing::warn!("No clusters configured, bundle will not be published");
        }
        Ok(clusters)
    })
}

/// The texts are SPIRE's.
fn cluster(id: &str, section: &mut Section<'_>) -> anyhow::Result<PublishedConfigMap> {
    let mut required = |key: &'static str, what: &str| match section.text(key)?.filter(|text| !text.is_empty()) {
        Some(text) => Ok(text),
        None => bail!("missing {what} in cluster {id:?}"),
    };
    let format = required("format", "bundle format")?;
    Ok(PublishedConfigMap {
        namespace: required("namespace", "namespace")?,
        configmap_name: required("configmap_name", "configmap name")?,
        configmap_key: required("configmap_key", "configmap key")?,
        format: super::format(&format).with_context(|| format!("could not parse bundle format from cluster {id:?}"))?,
        refresh_hint: super::refresh_hint(section)
            .with_context(|| format!("could not parse refresh_hint from cluster {id:?}"))?,
        kubeconfig_path: section.text("kubeconfig_path")?.filter(|path| !path.is_empty()).map(Into::into),
    })
}
