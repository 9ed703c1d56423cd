//! Who is calling: all workload attestors at once, then one more look at whether the process is still the same.

mod docker;
mod k8s;
mod read;
mod reference;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::future::join_all;
use steeple_core::plugin::{WorkloadAttestor, WorkloadProcess};
use steeple_core::{SelectorSet, rpc_code_name};
use steeple_telemetry::metric::CallTimer;
use steeple_transport::uds::UdsPeer;
use tonic::{Code, Request, Status};

use crate::metrics;

/// SPIRE's name for this part of the log.
const SUBSYSTEM: &str = "workload_attestor";

pub use docker::docker_settings;
pub use k8s::k8s_settings;
pub use reference::Referred;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadAttestation {
    #[error("workload attestation failed")]
    AllFailed,
    #[error("workload attestation failed")]
    PeerGone,
}

/// Attested once for each RPC: a stream keeps the selectors that its caller had when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub selectors: SelectorSet,
    pub pid: u32,
}

/// Asks every attestor. The selectors of those that succeed are merged; a failure of all of them is an error.
pub struct WorkloadAttestors {
    attestors: Vec<Arc<dyn WorkloadAttestor>>,
}

impl WorkloadAttestors {
    pub fn new(attestors: Vec<Arc<dyn WorkloadAttestor>>) -> Self {
        Self { attestors }
    }

    /// The caller of an RPC; SPIRE's statuses for workloads.
    pub async fn attest_caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let peer =
            request.extensions().get::<UdsPeer>().ok_or_else(|| Status::internal("the connection carries no peer"))?;
        let timer = CallTimer::start(metrics::WORKLOAD_ATTESTATION);
        let attested = self.attest(peer).await.map_err(|error| Status::unavailable(error.to_string()));
        timer.done(rpc_code_name(attested.as_ref().map_or_else(Status::code, |_| Code::Ok) as i32));
        let selectors = attested?;
        ::metrics::histogram!(metrics::DISCOVERED_SELECTORS).record(selectors.len() as f64);
        Ok(Caller { selectors, pid: peer.pid })
    }

    /// A process that is named by its pid. Whoever names it must see to it that the pid still means what they think.
    pub async fn attest_pid(&self, pid: i32) -> Result<SelectorSet, WorkloadAttestation> {
        let pid = u32::try_from(pid).map_err(|_| WorkloadAttestation::PeerGone)?;
        let peer = UdsPeer::of_process(pid).map_err(|error| {
            tracing::error!(subsystem_name = SUBSYSTEM, pid, %error, "Failed to collect all selectors for PID");
            WorkloadAttestation::PeerGone
        })?;
        self.attest(&peer).await
    }

    pub async fn attest(&self, peer: &UdsPeer) -> Result<SelectorSet, WorkloadAttestation> {
        let process = WorkloadProcess {
            pid: i32::try_from(peer.pid).map_err(|_| WorkloadAttestation::PeerGone)?,
            uid: peer.uid,
            gid: peer.gid,
        };
        let asked = self.attestors.iter().map(|attestor| async move {
            let timer = CallTimer::start(metrics::WORKLOAD_ATTESTOR).label("attestor", attestor.name());
            let answer = tokio::time::timeout(attestor.answer_time_max(), attestor.attest(process)).await;
            timer.done(match &answer {
                Ok(Ok(_)) => "OK",
                Ok(Err(_)) => "Unknown",
                Err(_) => "DeadlineExceeded",
            });
            match answer {
                Ok(Ok(selectors)) => Some(selectors),
                Ok(Err(error)) => {
                    let (plugin, pid) = (attestor.name(), process.pid);
                    let what = "Failed to collect all selectors for PID";
                    tracing::error!(subsystem_name = SUBSYSTEM, plugin, pid, %error, "{what}");
                    None
                }
                Err(_) => {
                    let (plugin, pid) = (attestor.name(), process.pid);
                    tracing::error!(subsystem_name = SUBSYSTEM, plugin, pid, "Workload attestor took too long");
                    None
                }
            }
        });
        let answers: Vec<Option<Vec<_>>> = join_all(asked).await;
        if answers.iter().all(Option::is_none) {
            return Err(WorkloadAttestation::AllFailed);
        }
        // The pid may have been given to another process while we looked: whatever was found is void then.
        if let Some(watch) = &peer.watch
            && let Err(error) = watch.check()
        {
            let pid = process.pid;
            tracing::warn!(subsystem_name = SUBSYSTEM, pid, %error, "Workload changed during attestation");
            return Err(WorkloadAttestation::PeerGone);
        }
        Ok(answers.into_iter().flatten().flatten().collect())
    }
}
