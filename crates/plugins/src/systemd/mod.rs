//! `systemd`: the unit of a workload, as systemd tells on the system bus (SPIRE's systemd workload attestor).

mod units;

use steeple_core::Selector;
use steeple_core::plugin::{BoxFuture, WorkloadAttestor, WorkloadError, WorkloadProcess};

pub use units::SystemdError;
use units::{Unit, Units};

/// Has no settings.
#[derive(Debug, Default)]
pub struct SystemdAttestor {
    units: Units,
}

impl SystemdAttestor {
    pub const NAME: &str = "systemd";

    /// The values of the selectors. A process that systemd did not start is an error, as in SPIRE.
    pub async fn values(&self, pid: i32) -> Result<Vec<String>, SystemdError> {
        let pid = u32::try_from(pid).map_err(|_| SystemdError::Pid(pid))?;
        let Unit { id, fragment_path } = self.units.of_process(pid).await?;
        Ok(vec![format!("id:{id}"), format!("fragment_path:{fragment_path}")])
    }
}

impl WorkloadAttestor for SystemdAttestor {
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

#[cfg(test)]
mod tests;
