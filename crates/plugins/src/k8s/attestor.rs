//! The plugin: locates the container, waits until the kubelet lists it, and says what it is.

use std::sync::Arc;
use std::time::Duration;

use steeple_core::plugin::{
    BoxFuture, ReferenceError, WorkloadAttestor, WorkloadError, WorkloadProcess, WorkloadReference,
};
use steeple_core::{Clock, Selector, rpc_code_name};

use super::find::{TwoPods, find};
use super::kubelet::REQUEST_MAX;
use super::namespace_labels::namespace_labels;
use super::pod::Pod;
use super::pod_lists::PodLists;
use super::reference::{PodReference, ReferenceRefusal, Referent, check_broker};
use super::{K8sSettings, KubeletError, access_review, selectors};
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
        Ok(self.of_process(pid).await?.map_or_else(Vec::new, |(_, values)| values))
    }

    /// With the pod that the process is in.
    async fn of_process(&self, pid: i32) -> Result<Option<(Pod, Vec<String>)>, K8sError> {
        let locator = self.settings.locator;
        let located = blocking(move || locator.locate(pid, Wanted::PodAndContainer)).await??;
        let Some(located) = located else { return Ok(None) };
        let (pod, mut values) = self.wait_for(&located).await?;
        values.extend(self.of_namespace(&pod).await?);
        self.check(pid, located, &pod).await?;
        Ok(Some((pod, values)))
    }

    /// What a broker refers to, if it may.
    async fn of_reference(&self, reference: &WorkloadReference) -> Result<Vec<String>, ReferenceRefusal> {
        let access = self.settings.brokers.as_ref().ok_or(ReferenceRefusal::NoBrokers)?;
        check_broker(&access.brokers, &reference.caller)?;
        let found = match Referent::read(reference)? {
            Referent::Process(pid) => self.of_process(pid).await?,
            Referent::Pod(wanted) => Some(self.of_pod(&wanted).await?),
        };
        let Some((pod, values)) = found else { return Ok(Vec::new()) };
        if let Some(server) = &access.review {
            let allowed = access_review::allows(server, &self.clock, &reference.caller, &pod.metadata).await;
            if !allowed.map_err(|error| ReferenceRefusal::Review(error.to_string()))? {
                return Err(ReferenceRefusal::NotAllowed);
            }
        }
        Ok(values)
    }

    /// Nobody waits for a pod that is not there yet: whoever refers to it knows that it is.
    async fn of_pod(&self, wanted: &PodReference) -> Result<(Pod, Vec<String>), ReferenceRefusal> {
        let listed = self.lists.newer_than(0).await.map_err(ReferenceRefusal::Kubelet)?;
        let pod = wanted.find(&listed.list)?.clone();
        let mut values = selectors::of_pod(&pod);
        values.extend(self.of_namespace(&pod).await?);
        Ok((pod, values))
    }

    async fn of_namespace(&self, pod: &Pod) -> Result<Vec<String>, K8sError> {
        let Some(server) = &self.settings.namespace_labels else { return Ok(Vec::new()) };
        let namespace = &pod.metadata.namespace;
        let labels = namespace_labels(server, &self.clock, namespace)
            .await
            .map_err(|error| K8sError::NamespaceLabels { namespace: namespace.clone(), reason: error.to_string() })?;
        Ok(selectors::of_namespace(&labels))
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
            Ok(as_selectors(values))
        })
    }

    /// In the words in which SPIRE's agent passes on what its plugin says.
    fn attest_reference<'a>(
        &'a self,
        reference: &'a WorkloadReference,
    ) -> BoxFuture<'a, Result<Vec<Selector>, ReferenceError>> {
        Box::pin(async move {
            let values = self.of_reference(reference).await.map_err(|refusal| {
                let code = refusal.code() as i32;
                let name = rpc_code_name(code);
                ReferenceError::Refused {
                    code,
                    message: format!("rpc error: code = {name} desc = workloadattestor({}): {refusal}", Self::NAME),
                }
            })?;
            Ok(as_selectors(values))
        })
    }

    /// Longer than the plugin's own bounds, so that the reason that it gives is heard.
    fn answer_time_max(&self) -> Duration {
        self.polling_max().saturating_add(AROUND_POLLING_MAX)
    }
}

fn as_selectors(values: Vec<String>) -> Vec<Selector> {
    values.into_iter().filter_map(|value| Selector::new(K8sAttestor::NAME, value).ok()).collect()
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
