//! `slurm`: the job and the step of a workload, told from the cgroups that `slurmstepd` makes (SPIRE's slurm workload
//! attestor).

mod job;

use steeple_core::Selector;
use steeple_core::plugin::{BoxFuture, WorkloadAttestor, WorkloadError, WorkloadProcess};

use crate::container::locate::cgroups_of;
pub use job::{Job, SeveralJobs, find_job};

/// Has no settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlurmAttestor;

impl SlurmAttestor {
    pub const NAME: &str = "slurm";
}

impl WorkloadAttestor for SlurmAttestor {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// Reads a file of `/proc`, hence a blocking thread.
    fn attest<'a>(&'a self, process: WorkloadProcess) -> BoxFuture<'a, Result<Vec<Selector>, WorkloadError>> {
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || values(process.pid));
            let values =
                found.await.map_err(|error| WorkloadError(format!("slurm attestation stopped: {error}")))??;
            Ok(values.into_iter().filter_map(|value| Selector::new(Self::NAME, value).ok()).collect())
        })
    }
}

fn values(pid: i32) -> Result<Vec<String>, WorkloadError> {
    let paths = cgroups_of(pid).map_err(|error| WorkloadError(error.to_string()))?;
    let job = find_job(paths.iter().map(String::as_str)).map_err(|error| WorkloadError(error.to_string()))?;
    Ok(job.map(|job| job.selector_values().to_vec()).unwrap_or_default())
}
