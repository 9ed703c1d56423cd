//! From the `plugins` section to the attestors, the key manager and the SVID stores of this agent.

mod node_attestor;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use steeple_cli::PluginDataFiles;
use steeple_config::{AgentSettings, PluginBlock, go_quoted};
use steeple_core::plugin::{KeyManager, SvidStore, WorkloadAttestor};
use steeple_core::{Clock, SystemClock};
use steeple_plugins::directory::DirectoryStore;
use steeple_plugins::docker::DockerAttestor;
use steeple_plugins::external::{
    Catalog, ExternalKeyManager, ExternalSvidStore, ExternalWorkloadAttestor, check_program,
};
use steeple_plugins::k8s::K8sAttestor;
use steeple_plugins::key_manager::{DiskKeys, MemoryKeys};
use steeple_plugins::slurm::SlurmAttestor;
use steeple_plugins::systemd::SystemdAttestor;
use steeple_plugins::unix::{UnixAttestor, UnixSettings};

use crate::attest::{WorkloadAttestors, docker_settings, k8s_settings};
use crate::stores::Stores;

pub use node_attestor::node_attestor;

pub async fn key_manager(
    settings: &AgentSettings,
    catalog: &Catalog,
    files: &mut PluginDataFiles,
) -> anyhow::Result<Arc<dyn KeyManager>> {
    let Some(block) = settings.plugins_of("KeyManager").next() else { bail!("no KeyManager is configured") };
    match block.external()? {
        Some(program) => {
            let launched = catalog.load(&program, ExternalKeyManager::INTERFACE);
            Ok(Arc::new(ExternalKeyManager::new(files.load(block, launched).await?)))
        }
        None => files.configure_once(block, open_key_manager),
    }
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

/// What the plugins of an agent would say against their own settings. Files are read, nothing is made or started.
pub fn refusals(settings: &AgentSettings) -> Vec<anyhow::Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let blocks = settings.plugins.iter().filter(|block| block.enabled);
    let tried = blocks.map(|block| match (block.kind.as_str(), block.name.as_str()) {
        // A join token wins.
        ("NodeAttestor", _) if settings.join_token.is_some() => Ok(()),
        _ if block.plugin_cmd.is_some() => could_start(block),
        ("KeyManager", "disk") => key_directory(block).map(drop),
        ("KeyManager", _) => open_key_manager(block).map(drop),
        ("NodeAttestor", _) => node_attestor::of_block(block).map(drop),
        ("SVIDStore", DirectoryStore::NAME) => base_dir(block).map(drop),
        ("WorkloadAttestor", _) => workload_attestor(block, &clock).map(drop),
        _ => Ok(()),
    });
    tried.filter_map(Result::err).collect()
}

/// What only the program can tell is not asked.
fn could_start(block: &PluginBlock) -> anyhow::Result<()> {
    if let Some(program) = block.external()? {
        check_program(&program).with_context(|| format!("failed to load plugin {}", go_quoted(&block.name)))?;
    }
    block.data_text(block.data_file_content()?.as_deref())?;
    Ok(())
}

pub async fn workload_attestors(
    settings: &AgentSettings,
    clock: &Arc<dyn Clock>,
    catalog: &Catalog,
    files: &mut PluginDataFiles,
) -> anyhow::Result<WorkloadAttestors> {
    let mut attestors: Vec<Arc<dyn WorkloadAttestor>> = Vec::new();
    for block in settings.plugins_of("WorkloadAttestor") {
        if let Some(program) = block.external()? {
            let launched = catalog.load(&program, ExternalWorkloadAttestor::INTERFACE);
            attestors.push(Arc::new(ExternalWorkloadAttestor(files.load(block, launched).await?)));
            continue;
        }
        let clock = Arc::clone(clock);
        attestors.push(files.configure(block, move |block| workload_attestor(block, &clock))?);
    }
    Ok(WorkloadAttestors::new(attestors))
}

/// A store keeps the settings of its start: what lies in the old place would be forgotten.
pub async fn svid_stores(
    settings: &AgentSettings,
    catalog: &Catalog,
    files: &mut PluginDataFiles,
) -> anyhow::Result<Stores> {
    let mut stores: Vec<Arc<dyn SvidStore>> = Vec::new();
    for block in settings.plugins_of("SVIDStore") {
        stores.push(match block.external()? {
            Some(program) => {
                let launched = catalog.load(&program, ExternalSvidStore::INTERFACE);
                Arc::new(ExternalSvidStore(files.load(block, launched).await?))
            }
            None => files.configure_once(block, svid_store)?,
        });
    }
    Ok(Stores::new(stores))
}

fn svid_store(block: &PluginBlock) -> anyhow::Result<Arc<dyn SvidStore>> {
    match block.name.as_str() {
        DirectoryStore::NAME => Ok(Arc::new(DirectoryStore::open(&base_dir(block)?).context(DIRECTORY)?)),
        other => bail!("SVIDStore {other:?} is not built in"),
    }
}

/// Of the store in files.
fn base_dir(block: &PluginBlock) -> anyhow::Result<PathBuf> {
    let base = block.read_data(|data| anyhow::Ok(data.text("base_dir")?))?.filter(|path| !path.is_empty());
    let base = PathBuf::from(base.context("base_dir is required").context(DIRECTORY)?);
    DirectoryStore::check_base(&base).context(DIRECTORY)?;
    Ok(base)
}

const DIRECTORY: &str = "SVIDStore \"directory\"";

fn workload_attestor(block: &PluginBlock, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn WorkloadAttestor>> {
    Ok(match block.name.as_str() {
        DockerAttestor::NAME => Arc::new(DockerAttestor::new(docker_settings(block)?)),
        K8sAttestor::NAME => {
            let attestor = K8sAttestor::new(k8s_settings(block)?, Arc::clone(clock));
            Arc::new(attestor.context("WorkloadAttestor \"k8s\"")?)
        }
        SlurmAttestor::NAME => {
            block.read_data(|_| anyhow::Ok(()))?;
            Arc::new(SlurmAttestor)
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
