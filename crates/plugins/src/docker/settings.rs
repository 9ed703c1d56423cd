//! `plugin_data` of the agent's block, distilled.

use std::path::{Path, PathBuf};

use super::{Matchers, SocketTemplate};
use crate::container::HostPid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerSettings {
    pub docker_socket: PathBuf,
    /// Of the engine's API, such as `1.41`; the engine's own without it.
    pub docker_version: Option<String>,
    pub podman_socket: PathBuf,
    /// Of rootless Podman.
    pub podman_socket_template: SocketTemplate,
    /// Replaces the search for container IDs (`use_new_container_locator = false`).
    pub matchers: Option<Matchers>,
    /// Logs the paths that are looked at.
    pub verbose: bool,
    pub host_pid: HostPid,
}

impl DockerSettings {
    pub const DEFAULT_DOCKER_SOCKET: &str = "unix:///var/run/docker.sock";
    pub const DEFAULT_PODMAN_SOCKET: &str = "unix:///run/podman/podman.sock";
    pub const DEFAULT_PODMAN_SOCKET_TEMPLATE: &str = "unix:///run/user/%d/podman/podman.sock";
}

/// The path in `unix:///path`; `None` for other addresses.
pub fn socket_path(address: &str) -> Option<PathBuf> {
    let path = Path::new(address.strip_prefix("unix://")?);
    path.is_absolute().then(|| path.to_owned())
}
