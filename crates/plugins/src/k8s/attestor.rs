//! The plugin: locates the container, waits until the kubelet lists it, and says what it is.

use std::sync::Arc;
use std::time::Duration;

use steeple_core::plugin::{BoxFuture, WorkloadAttestor, WorkloadError, WorkloadProcess};
use steeple_core::{Clock, Selector};

use super::find::{TwoPods, find};
use super::kubelet::REQUEST_MAX;
use super::namespace_labels::{NamespaceError, namespace_labels};
use super::pod::Pod;
use super::pod_lists::PodLists;
use super::{K8sSettings, KubeletError, selectors};
use crate::container::processes::{InhabitantsError, check_process};
use crate::container::{HostPid, LocateError, Located, Masquerade, Owner, Wanted};

pub struct K8sAttestor {
    settings: K8sSettings,
    lists: PodLists,
    clock: Arc<dyn Clock>,
}

/// Why a process in a container gets no selectors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum K8sError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("{0}")]
    Kubelet(Arc<KubeletError>),
    #[error("no selectors found after max poll attempts: no container {container_id}{} is listed", of(.pod_uid))]
    NotListed { pod_uid: String, container_id: String },
    #[error("two pods found with same container Id")]
    TwoPods,
    #[error("unable to get namespace labels for {namespace:?}: {reason}")]
    NamespaceLabels { namespace: String, reason: String },
    #[error(transparent)]
    Refused(#[from] InhabitantsError),
    #[error("k8s attestation stopped")]
    Stopped,
}

impl K8sAttestor {
    pub const NAME: &str = "k8s";

    /// Reads the credentials for the kubelet, which must be usable; it is not asked yet.
    pub fn new(settings: K8sSettings, clock: Arc<dyn Clock>) -> Result<Self, KubeletError> {
        let lists = PodLists::new(settings.kubelet.clone(), settings.poll_interval, Arc::clone(&clock))?;
        Ok(Self { settings, lists, clock })
    }

    /// The values of the selectors; none for a process that is in no container.
    pub async fn values(&self, pid: i32) -> Result<Vec<String>, K8sError> {
        let locator = self.settings.locator;
        let located = blocking(move || locator.locate(pid, Wanted::PodAndContainer)).await??;
        let Some(located) = located else { return Ok(Vec::new()) };
        let (pod, mut values) = self.wait_for(&located).await?;
        if let Some(server) = &self.settings.namespace_labels {
            let namespace = pod.metadata.namespace.clone();
            let labels = namespace_labels(server, Arc::clone(&self.clock), &namespace).await;
            let labels = labels
                .map_err(|error: NamespaceError| K8sError::NamespaceLabels { namespace, reason: error.to_string() })?;
            values.extend(selectors::of_namespace(&labels));
        }
        self.check(pid, located, &pod).await?;
        Ok(values)
    }

    /// The pod and its selectors, as soon as the kubelet lists the container.
    async fn wait_for(&self, located: &Located) -> Result<(Pod, Vec<String>), K8sError> {
        let (pod_is_enough, wanted) = (self.settings.disable_container_selectors, &located.container);
        let polling = async {
            let (mut number, mut failure) = (0, None);
            for attempt in 1..=self.settings.poll_attempts_max {
                match self.lists.newer_than(number).await {
                    Ok(newer) => {
                        (number, failure) = (newer.number, None);
                        let found = find(&newer.list, wanted, pod_is_enough).map_err(|TwoPods| K8sError::TwoPods)?;
                        if let Some(found) = found {
                            return Ok((found.pod.clone(), found.selectors(pod_is_enough)));
                        }
                        let container_id = &wanted.container_id;
                        tracing::debug!(attempt, container_id, "Container id not found; will retry after backoff");
                    }
                    Err(error) => {
                        tracing::warn!(attempt, %error, "Unable to get pod list; will retry after backoff");
                        failure = Some(error);
                    }
                }
            }
            Err(failure.map_or_else(|| not_listed(located), K8sError::Kubelet))
        };
        // A kubelet that takes its ten seconds for each attempt must not hold a workload for ten minutes.
        match tokio::time::timeout(self.polling_max(), polling).await {
            Ok(outcome) => outcome,
            Err(_) => match self.lists.last_failure() {
                Some(error) => Err(K8sError::Kubelet(error)),
                None => Err(not_listed(located)),
            },
        }
    }

    async fn check(&self, pid: i32, located: Located, pod: &Pod) -> Result<(), K8sError> {
        let (policy, locator) = (self.settings.host_pid, self.settings.locator);
        let shares_host_pid = pod.spec.host_pid;
        let owner = if pod.spec.share_process_namespace || shares_host_pid {
            Owner::Pod(pod.metadata.uid.clone())
        } else {
            Owner::Container(located.container.container_id.clone())
        };
        let check = move || {
            check_process(policy, pid, located.source, shares_host_pid, &owner)?;
            // Waiting for the list takes up to half a minute, in which the process could have moved on.
            if policy == HostPid::Refuse && locator.locate(pid, Wanted::PodAndContainer)? != Some(located) {
                return Err(K8sError::Refused(Masquerade::Moved.into()));
            }
            Ok(())
        };
        blocking(check).await?
    }

    /// All attempts, and a request that began with the last of them.
    fn polling_max(&self) -> Duration {
        self.settings.poll_interval.saturating_mul(self.settings.poll_attempts_max).saturating_add(REQUEST_MAX)
    }
}

impl WorkloadAttestor for K8sAttestor {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn attest<'a>(&'a self, process: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>> {
        Box::pin(async move {
            let values = self.values(process.pid).await.map_err(|error| WorkloadError(error.to_string()))?;
            Ok(values.into_iter().filter_map(|value| Selector::new(Self::NAME, value).ok()).collect())
        })
    }

    /// Longer than the plugin's own bounds, so that the reason that it gives is heard.
    fn answer_time_max(&self) -> Duration {
        self.polling_max().saturating_add(AROUND_POLLING_MAX)
    }
}

fn not_listed(located: &Located) -> K8sError {
    let container = &located.container;
    K8sError::NotListed { pod_uid: container.pod_uid.clone(), container_id: container.container_id.clone() }
}

fn of(pod_uid: &str) -> String {
    if pod_uid.is_empty() { String::new() } else { format!(" in pod {pod_uid}") }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, K8sError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| K8sError::Stopped)
}

/// Files of `/proc`, and the API server.
const AROUND_POLLING_MAX: Duration = Duration::from_secs(15);
