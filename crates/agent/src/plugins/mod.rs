//! From the `plugins` section to the attestors and the key manager of this agent.

mod node_attestor;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use steeple_cli::PluginDataFiles;
use steeple_config::{AgentSettings, PluginBlock};
use steeple_core::plugin::{KeyManager, WorkloadAttestor};
use steeple_core::{Clock, SystemClock};
use steeple_plugins::docker::DockerAttestor;
use steeple_plugins::k8s::K8sAttestor;
use steeple_plugins::key_manager::{DiskKeys, MemoryKeys};
use steeple_plugins::systemd::SystemdAttestor;
use steeple_plugins::unix::{UnixAttestor, UnixSettings};

use crate::attest::{WorkloadAttestors, docker_settings, k8s_settings};

pub use node_attestor::node_attestor;

pub fn key_manager(settings: &AgentSettings, files: &mut PluginDataFiles) -> anyhow::Result<Arc<dyn KeyManager>> {
    let Some(block) = settings.plugins_of("KeyManager").next() else { bail!("no KeyManager is configured") };
    files.configure_once(block, open_key_manager)
}

fn open_key_manager(block: &PluginBlock) -> anyhow::Result<Arc<dyn KeyManager>> {
    match block.name.as_str() {
        "memory" => {
            block.read_data(|_| anyhow::Ok(()))?;
            Ok(Arc::new(MemoryKeys::default()))
        }
        "disk" => {
            let directory = key_directory(block)?;
            std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {directory}"))?;
            Ok(Arc::new(DiskKeys::open(directory.as_ref())?))
        }
        other => bail!("KeyManager {other:?} is not built in"),
    }
}

/// Of the key manager on disk.
fn key_directory(block: &PluginBlock) -> anyhow::Result<String> {
    let directory = block.read_data(|data| anyhow::Ok(data.text("directory")?))?;
    directory.filter(|path| !path.is_empty()).context("KeyManager \"disk\": directory is required")
}

/// What the plugins of an agent would say against their own settings. Files are read, nothing is made.
pub fn refusals(settings: &AgentSettings) -> Vec<anyhow::Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node_attestors = settings.plugins_of("NodeAttestor").filter(|_| settings.join_token.is_none());
    let node_attestors = node_attestors.map(|block| node_attestor::of_block(block).map(drop));
    let key_managers = settings.plugins_of("KeyManager").map(|block| match block.name.as_str() {
        "disk" => key_directory(block).map(drop),
        _ => open_key_manager(block).map(drop),
    });
    let workload_attestors =
        settings.plugins_of("WorkloadAttestor").map(|block| workload_attestor(block, &clock).map(drop));
    node_attestors.chain(key_managers).chain(workload_attestors).filter_map(Result::err).collect()
}

pub fn workload_attestors(
    settings: &AgentSettings,
    clock: &Arc<dyn Clock>,
    files: &mut PluginDataFiles,
) -> anyhow::Result<WorkloadAttestors> {
    let mut attestors: Vec<Arc<dyn WorkloadAttestor>> = Vec::new();
    for block in settings.plugins_of("WorkloadAttestor") {
        let clock = Arc::clone(clock);
        attestors.push(files.configure(block, move |block| workload_attestor(block, &clock))?);
    }
    Ok(WorkloadAttestors::new(attestors))
}

fn workload_attestor(block: &PluginBlock, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn WorkloadAttestor>> {
    Ok(match block.name.as_str() {
        DockerAttestor::NAME => Arc::new(DockerAttestor::new(docker_settings(block)?)),
        K8sAttestor::NAME => {
            let attestor = K8sAttestor::new(k8s_settings(block)?, Arc::clone(clock));
            Arc::new(attestor.context("WorkloadAttestor \"k8s\"")?)
        }
        SystemdAttestor::NAME => {
            block.read_data(|_| anyhow::Ok(()))?;
            Arc::new(SystemdAttestor::default())
        }
        UnixAttestor::NAME => {
            let settings = block.read_data(|data| {
                anyhow::Ok(UnixSettings {
                    discover_workload_path: data.flag("discover_workload_path")?.unwrap_or(false),
                    workload_size_limit_bytes: data.int("workload_size_limit")?.unwrap_or(0),
                })
            })?;
            Arc::new(UnixAttestor::new(settings))
        }
        other => bail!("WorkloadAttestor {other:?} is not built in"),
    })
}
