//! The plugin: locates the container and asks its engine.

use std::path::PathBuf;
use std::sync::Arc;

use steeple_core::Selector;
use steeple_core::plugin::{BoxFuture, WorkloadAttestor, WorkloadError, WorkloadProcess};

use super::engine::Engine;
use super::inspect::ContainerInspect;
use super::matchers::MatchError;
use super::podman::{Podman, podman};
use super::{DockerSettings, EngineError};
use crate::container::locate::cgroups_of;
use crate::container::processes::{InhabitantsError, check_process};
use crate::container::{Container, HostPid, LocateError, Located, Locator, Masquerade, Owner, Source, Wanted};

pub struct DockerAttestor {
    settings: Arc<DockerSettings>,
}

/// Why a process in a container gets no selectors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error(transparent)]
    Match(#[from] MatchError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Refused(#[from] InhabitantsError),
    #[error("docker attestation stopped")]
    Stopped,
}

impl DockerAttestor {
    pub const NAME: &str = "docker";

    pub fn new(settings: DockerSettings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// The values of the selectors; none for a process that is in no container.
    pub async fn values(&self, pid: i32) -> Result<Vec<String>, DockerError> {
        let settings = Arc::clone(&self.settings);
        let located = blocking(move || settings.locate(pid)).await??;
        let Some((located, podman)) = located else { return Ok(Vec::new()) };
        let (socket, version) = self.settings.engine(podman);
        let engine = Engine::new(&socket, version);
        let container = engine.container(&located.container.container_id).await?;
        let mut values = container.config.selectors();
        if !container.config.image.is_empty() {
            // An image may be gone while its container runs.
            match engine.image(&container.config.image).await {
                Ok(image) => values.extend(image.selector()),
                Err(error) => tracing::debug!(%error, "Image cannot be inspected"),
            }
        }
        self.check(pid, located, &container).await?;
        Ok(values)
    }

    async fn check(&self, pid: i32, located: Located, container: &ContainerInspect) -> Result<(), DockerError> {
        let (settings, policy) = (Arc::clone(&self.settings), self.settings.host_pid);
        let shares_host_pid = container.host_config.shares_host_pid();
        let own = [&container.id, &located.container.container_id].into_iter().find(|id| !id.is_empty());
        let owner = container.host_config.joined_container().or(own.map(String::as_str)).unwrap_or_default();
        let owner = Owner::Container(owner.to_owned());
        let check = move || {
            check_process(policy, pid, located.source, shares_host_pid, &owner)?;
            if policy == HostPid::Refuse && settings.locate(pid)?.map(|(now, _)| now) != Some(located) {
                return Err(DockerError::Refused(Masquerade::Moved.into()));
            }
            Ok(())
        };
        blocking(check).await?
    }
}

impl WorkloadAttestor for DockerAttestor {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn attest<'a>(&'a self, process: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>> {
        Box::pin(async move {
            let values = self.values(process.pid).await.map_err(|error| WorkloadError(error.to_string()))?;
            Ok(values.into_iter().filter_map(|value| Selector::new(Self::NAME, value).ok()).collect())
        })
    }
}

impl DockerSettings {
    /// The container, and whether it is one of Podman's. Blocks on files of `/proc`.
    fn locate(&self, pid: i32) -> Result<Option<(Located, Option<Podman>)>, DockerError> {
        let located = match &self.matchers {
            None => Locator::New { verbose: self.verbose }.locate(pid, Wanted::ContainerOnly)?,
            Some(matchers) => {
                let container_id = matchers.container_id(cgroups_of(pid)?.iter().map(String::as_str))?;
                container_id.map(|container_id| Located {
                    container: Container { pod_uid: String::new(), container_id },
                    source: Source::Matcher,
                })
            }
        };
        let Some(located) = located else { return Ok(None) };
        let podman = podman(cgroups_of(pid)?.iter().map(String::as_str));
        Ok(Some((located, podman)))
    }

    fn engine(&self, podman: Option<Podman>) -> (PathBuf, Option<&str>) {
        match podman {
            None => (self.docker_socket.clone(), self.docker_version.as_deref()),
            Some(Podman::Root) => (self.podman_socket.clone(), None),
            Some(Podman::User(uid)) => (self.podman_socket_template.socket_of(uid), None),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, DockerError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| DockerError::Stopped)
}
