//! From the block `WorkloadAttestor "docker"` to its settings.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use steeple_config::{PluginBlock, Section};
use steeple_plugins::docker::{DockerAttestor, DockerSettings, Matchers, SocketTemplate, socket_path};

use super::read;

const PLUGIN: &str = DockerAttestor::NAME;

pub fn docker_settings(block: &PluginBlock) -> anyhow::Result<DockerSettings> {
    block.read_data(|data| {
        read::refuse_sigstore(data, PLUGIN)?;
        let template = read::text(data, "podman_socket_path_template")?;
        let template = template.as_deref().unwrap_or(DockerSettings::DEFAULT_PODMAN_SOCKET_TEMPLATE);
        Ok(DockerSettings {
            docker_socket: socket(data, "docker_socket_path", DockerSettings::DEFAULT_DOCKER_SOCKET)?,
            docker_version: version(data)?,
            podman_socket: socket(data, "podman_socket_path", DockerSettings::DEFAULT_PODMAN_SOCKET)?,
            podman_socket_template: SocketTemplate::parse(template)
                .with_context(|| format!("{PLUGIN}: invalid podman_socket_path_template"))?,
            matchers: matchers(data)?,
            verbose: data.flag("verbose_container_locator_logs")?.unwrap_or(false),
            host_pid: read::host_pid(data, PLUGIN)?,
        })
    })
}

fn socket(data: &mut Section<'_>, key: &'static str, default: &str) -> anyhow::Result<PathBuf> {
    let address = read::text(data, key)?;
    let address = address.as_deref().unwrap_or(default);
    socket_path(address).with_context(|| {
        format!("{PLUGIN}: {key}: {address:?} is not supported: it must be unix:// and an absolute path")
    })
}

/// It becomes part of a path.
fn version(data: &mut Section<'_>) -> anyhow::Result<Option<String>> {
    let version = read::text(data, "docker_version")?;
    if let Some(version) = version.as_deref().filter(|version| !version.bytes().all(is_of_version)) {
        bail!("{PLUGIN}: docker_version: {version:?} is no version of the engine's API, such as \"1.41\"");
    }
    Ok(version)
}

fn is_of_version(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

fn matchers(data: &mut Section<'_>) -> anyhow::Result<Option<Matchers>> {
    let use_new_locator = data.flag("use_new_container_locator")?.unwrap_or(true);
    let patterns = data.texts("container_id_cgroup_matchers")?.unwrap_or_default();
    if patterns.is_empty() {
        return Ok(None);
    }
    if use_new_locator {
        bail!(
            "{PLUGIN}: the new container locator and custom cgroup matchers cannot both be used; to continue using \
             custom matchers set use_new_container_locator = false"
        );
    }
    Ok(Some(Matchers::new(&patterns).with_context(|| format!("{PLUGIN}: container_id_cgroup_matchers"))?))
}
