//! From the `plugins` section to the places where the own bundle is shown: a file for the settings of each.

mod file;
mod k8s_configmap;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use steeple_cli::PluginDataFiles;
use steeple_config::{GoDuration, PluginBlock, Section, ServerSettings};
use steeple_core::plugin::BundlePublisher;
use steeple_plugins::BundleFormat;
use steeple_plugins::bundle_publisher_file::FilePublisher;
use steeple_plugins::bundle_publisher_k8s_configmap::K8sConfigMapPublisher;
use steeple_plugins::external::{Catalog, ExternalBundlePublisher, ExternalNotifier};

/// All that are configured, in the order of the file. Data that cannot be used is refused here.
pub async fn bundle_publishers(
    settings: &ServerSettings,
    catalog: &Catalog,
    files: &mut PluginDataFiles,
) -> anyhow::Result<Vec<Arc<dyn BundlePublisher>>> {
    let mut publishers: Vec<Arc<dyn BundlePublisher>> = Vec::new();
    for block in settings.plugins_of(KIND) {
        publishers.push(match block.external()? {
            Some(program) => {
                let launched = catalog.load(&program, ExternalBundlePublisher::INTERFACE);
                Arc::new(ExternalBundlePublisher(files.load(block, launched).await?))
            }
            None => bundle_publisher(block)?,
        });
    }
    // SPIRE's other way to hear of the bundle; there are none but external ones.
    for block in settings.plugins_of(NOTIFIER) {
        if let Some(program) = block.external()? {
            let launched = catalog.load(&program, ExternalNotifier::INTERFACE);
            publishers.push(Arc::new(ExternalNotifier::new(files.load(block, launched).await?)));
        }
    }
    Ok(publishers)
}

pub fn bundle_publisher(block: &PluginBlock) -> anyhow::Result<Arc<dyn BundlePublisher>> {
    Ok(match block.name.as_str() {
        "file" => Arc::new(FilePublisher::new(file::settings(block)?)),
        "k8s_configmap" => Arc::new(K8sConfigMapPublisher::new(k8s_configmap::clusters(block)?)),
        other => bail!("{KIND} {other:?} is not built in"),
    })
}

/// `format`, which must be there.
fn format(text: &str) -> anyhow::Result<BundleFormat> {
    BundleFormat::from_name(text).ok_or_else(|| anyhow!("unknown bundle format: {text:?}; use spiffe, jwks or pem"))
}

/// `refresh_hint` in seconds; `None` when it is absent or zero.
fn refresh_hint(data: &mut Section<'_>) -> anyhow::Result<Option<i64>> {
    let Some(text) = data.text("refresh_hint")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let unusable = || format!("could not parse refresh hint {text:?}");
    let parsed: GoDuration = text.parse().with_context(unusable)?;
    let hint = parsed.to_std().with_context(unusable)?;
    if hint >= HINT_HIGH {
        tracing::warn!(
            "Bundle endpoint refresh hint set to a high value. To cover the case of unscheduled trust bundle updates, \
             it's recommended to have a smaller value, e.g. 5m"
        );
    } else if hint < HINT_LOW {
        tracing::warn!("Bundle endpoint refresh hint set too low. SPIRE will not refresh more often than 1 minute");
    }
    Ok(i64::try_from(hint.as_secs()).ok().filter(|secs| *secs > 0))
}

pub const KIND: &str = "BundlePublisher";
pub const NOTIFIER: &str = "Notifier";
/// SPIRE's bounds for its warnings.
const HINT_LOW: Duration = Duration::from_secs(60);
const HINT_HIGH: Duration = Duration::from_secs(24 * 3_600);
