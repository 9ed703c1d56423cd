//! From the `plugins` section to the attestors and the key manager of this agent.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use steeple_config::{AgentSettings, PluginBlock};
use steeple_core::Clock;
use steeple_core::plugin::{AgentNodeAttestor, KeyManager, WorkloadAttestor};
use steeple_plugins::docker::DockerAttestor;
use steeple_plugins::join_token::JoinTokenAttestor;
use steeple_plugins::k8s::K8sAttestor;
use steeple_plugins::key_manager::{DiskKeys, MemoryKeys};
use steeple_plugins::systemd::SystemdAttestor;
use steeple_plugins::unix::{UnixAttestor, UnixSettings};
use steeple_plugins::x509pop::{X509PopAgent, X509PopFiles};

use crate::attest::{WorkloadAttestors, docker_settings, k8s_settings};

/// A join token wins over whatever attestor is configured (SPIRE behaviour).
pub fn node_attestor(settings: &AgentSettings) -> anyhow::Result<Arc<dyn AgentNodeAttestor>> {
    if let Some(token) = &settings.join_token {
        return Ok(Arc::new(JoinTokenAttestor::new(Some(token.duplicate()))));
    }
    let Some(block) = settings.plugins_of("NodeAttestor").next() else { bail!("no NodeAttestor is configured") };
    match block.name.as_str() {
        "join_token" => {
            block.read_data(|_| anyhow::Ok(()))?;
            Ok(Arc::new(JoinTokenAttestor::new(None)))
        }
        "x509pop" => Ok(Arc::new(X509PopAgent::new(x509pop_files(block)?))),
        other => bail!("NodeAttestor {other:?} is not built in"),
    }
}

fn x509pop_files(block: &PluginBlock) -> anyhow::Result<X509PopFiles> {
    block.read_data(|data| {
        if data.text("spiffe_endpoint_socket")?.is_some_and(|socket| !socket.is_empty()) {
            bail!(
                "x509pop: spiffe_endpoint_socket is not supported: have a SPIFFE helper write the SVID to \
                 certificate_path and private_key_path, which are read anew at each attestation"
            );
        }
        let (key, certificate) = (data.text("private_key_path")?, data.text("certificate_path")?);
        let intermediates = data.text("intermediates_path")?;
        let (Some(key), Some(certificate)) = (key, certificate) else {
            bail!("x509pop: private_key_path and certificate_path are required");
        };
        Ok(X509PopFiles {
            private_key_path: key.into(),
            certificate_path: certificate.into(),
            intermediates_path: intermediates.filter(|path| !path.is_empty()).map(Into::into),
        })
    })
}

pub fn key_manager(settings: &AgentSettings) -> anyhow::Result<Arc<dyn KeyManager>> {
    let Some(block) = settings.plugins_of("KeyManager").next() else { bail!("no KeyManager is configured") };
    match block.name.as_str() {
        "memory" => {
            block.read_data(|_| anyhow::Ok(()))?;
            Ok(Arc::new(MemoryKeys::default()))
        }
        "disk" => {
            let directory = block.read_data(|data| anyhow::Ok(data.text("directory")?))?;
            let directory = directory.filter(|path| !path.is_empty());
            let directory = directory.context("KeyManager \"disk\": directory is required")?;
            std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {directory}"))?;
            Ok(Arc::new(DiskKeys::open(directory.as_ref())?))
        }
        other => bail!("KeyManager {other:?} is not built in"),
    }
}

pub fn workload_attestors(settings: &AgentSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<WorkloadAttestors> {
    let mut attestors: Vec<Arc<dyn WorkloadAttestor>> = Vec::new();
    for block in settings.plugins_of("WorkloadAttestor") {
        match block.name.as_str() {
            DockerAttestor::NAME => attestors.push(Arc::new(DockerAttestor::new(docker_settings(block)?))),
            K8sAttestor::NAME => {
                let attestor = K8sAttestor::new(k8s_settings(block)?, Arc::clone(clock));
                attestors.push(Arc::new(attestor.context("WorkloadAttestor \"k8s\"")?));
            }
            SystemdAttestor::NAME => {
                block.read_data(|_| anyhow::Ok(()))?;
                attestors.push(Arc::new(SystemdAttestor::default()));
            }
            UnixAttestor::NAME => {
                let settings = block.read_data(|data| {
                    anyhow::Ok(UnixSettings {
                        discover_workload_path: data.flag("discover_workload_path")?.unwrap_or(false),
                        workload_size_limit_bytes: data.int("workload_size_limit")?.unwrap_or(0),
                    })
                })?;
                attestors.push(Arc::new(UnixAttestor::new(settings)));
            }
            other => bail!("WorkloadAttestor {other:?} is not built in"),
        }
    }
    Ok(WorkloadAttestors::new(attestors))
}
