//! Who may act for others, and for whom a request asks.

use std::collections::HashSet;
use std::sync::Arc;

use steeple_api::convert::selectors_from_wire;
use steeple_api::types;
use steeple_core::{SelectorSet, SpiffeId};
use steeple_transport::uds::UdsPeer;
use tonic::{Request, Status};

use crate::attest::{WorkloadAttestation, WorkloadAttestors};
use crate::cache::Cache;
use crate::workload_api::no_identity;

/// The delegates of the configuration, known by the entries that they own.
pub struct Delegates {
    pub cache: Arc<Cache>,
    pub attestors: Arc<WorkloadAttestors>,
    /// `authorized_delegates`.
    pub authorized: HashSet<SpiffeId>,
}

impl Delegates {
    /// Attests the caller and checks that it is a delegate. What it returns is for [`check`](Self::check) later on.
    pub async fn admit<T>(&self, request: &Request<T>) -> Result<SelectorSet, Status> {
        let peer = request.extensions().get::<UdsPeer>();
        // The admin socket also serves callers of other pid namespaces. They are nobody here.
        if peer.is_some_and(|peer| peer.watch.is_none()) {
            tracing::error!("Workload attestation failed: the caller has no process id here");
            return Err(failed(WorkloadAttestation::PeerGone));
        }
        let caller = self.attestors.attest_caller(request).await?;
        self.check(&caller.selectors)?;
        Ok(caller.selectors)
    }

    /// Entries come and go while a stream is open.
    pub fn check(&self, delegate: &SelectorSet) -> Result<(), Status> {
        let entries = self.cache.matching(delegate);
        let Some(first) = entries.first() else {
            tracing::error!("No identity issued");
            return Err(no_identity());
        };
        if let Some(entry) = entries.iter().find(|entry| self.authorized.contains(&entry.spiffe_id)) {
            tracing::debug!(delegate_id = %entry.spiffe_id, "Caller authorized as delegate");
            return Ok(());
        }
        tracing::error!(
            num_registered_entries = entries.len(),
            default_id = %first.spiffe_id,
            "Permission denied; caller not configured as an authorized delegate."
        );
        Err(Status::permission_denied("caller not configured as an authorized delegate"))
    }

    /// The selectors of the workload that a request is about: given, or found out about the process `pid`. That the pid
    /// still means that workload when the answer arrives, the delegate has to see to (SPIRE behaviour).
    pub async fn subject(&self, pid: i32, selectors: &[types::Selector]) -> Result<SelectorSet, Status> {
        match (pid, selectors) {
            (0, []) | (1.., [_, ..]) | (..0, [_, ..]) => {
                let text = "must provide either selectors or non-zero PID, but not both";
                tracing::error!("Invalid argument; {text}");
                Err(Status::invalid_argument(text))
            }
            (0, selectors) => {
                selectors_from_wire(selectors).map(|given| given.into_iter().collect()).map_err(|error| {
                    tracing::error!(%error, "Invalid argument; could not parse provided selectors");
                    Status::invalid_argument("could not parse provided selectors")
                })
            }
            (pid, []) => self.attestors.attest_pid(pid).await.map_err(|error| {
                tracing::error!(pid, %error, "Workload attestation failed");
                failed(error)
            }),
        }
    }
}

fn failed(error: WorkloadAttestation) -> Status {
    Status::unavailable(error.to_string())
}
