//! Reads along with what the workload says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use steeple_testkit::{Process, until};

use super::WorkloadArgs;
use super::workload::Event;

/// The workload's process.
pub(super) struct Workload {
    process: Process,
    output: PathBuf,
}

/// What its events amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) exchanges: u64,
    pub(super) connections: u64,
    pub(super) pause_max_ms: u64,
    pub(super) client_rotations: u64,
    pub(super) server_rotations: u64,
    pub(super) failures: Vec<String>,
}

impl Workload {
    pub(super) fn start(dir: &Path, args: &WorkloadArgs) -> anyhow::Result<Self> {
        let output = dir.join("workload.log");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("workload");
        command.arg("--client-socket").arg(&args.client_socket).arg("--server-socket").arg(&args.server_socket);
        command.args(["--client-id", &args.client_id, "--server-id", &args.server_id]);
        Ok(Self { process: Process::start("workload", command, &output)?, output })
    }

    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// All that was said so far. Lines that are no events are the end of a process that failed.
    pub(super) fn observed(&self) -> anyhow::Result<Observed> {
        let text = std::fs::read_to_string(&self.output).context("the workload's output")?;
        Ok(observe(text.lines()))
    }

    /// Waits until `enough` holds; a failure of the workload ends the wait.
    pub(super) async fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        enough: impl Fn(&Observed) -> bool,
    ) -> anyhow::Result<Observed> {
        let observed = until(what, limit, async || {
            let observed = self.observed()?;
            ensure!(enough(&observed) || !observed.failures.is_empty(), "so far {observed:?}");
            Ok::<_, anyhow::Error>(observed)
        })
        .await?;
        observed.unharmed()?;
        Ok(observed)
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.kill9().await
    }
}

impl Observed {
    pub(super) fn unharmed(&self) -> anyhow::Result<()> {
        match self.failures.first() {
            None => Ok(()),
            Some(first) => bail!("the workload met {} failures, the first: {first}", self.failures.len()),
        }
    }
}

fn observe<'l>(lines: impl Iterator<Item = &'l str>) -> Observed {
    let mut observed = Observed::default();
    for line in lines {
        match serde_json::from_str(line) {
            Ok(Event::Rotated { side }) if side == "client" => observed.client_rotations += 1,
            Ok(Event::Rotated { .. }) => observed.server_rotations += 1,
            Ok(Event::Alive { exchanges, connections, pause_max_ms }) => {
                observed = Observed { exchanges, connections, pause_max_ms, ..observed };
            }
            Ok(Event::Failed { reason }) => observed.failures.push(reason),
            Err(_) => observed.failures.push(line.to_owned()),
        }
    }
    observed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_add_up_and_anything_else_is_a_failure() {
        let lines = [
            r#"{"event":"alive","exchanges":3,"connections":1,"pause_max_ms":51}"#,
            r#"{"event":"rotated","side":"client"}"#,
            r#"{"event":"rotated","side":"server"}"#,
            r#"{"event":"alive","exchanges":9,"connections":2,"pause_max_ms":60}"#,
        ];
        let observed = observe(lines.into_iter());
        let expected = Observed {
            exchanges: 9,
            connections: 2,
            pause_max_ms: 60,
            client_rotations: 1,
            server_rotations: 1,
            failures: Vec::new(),
        };
        assert_eq!(observed, expected);
        assert!(observed.unharmed().is_ok());
        let failed = observe([r#"{"event":"failed","reason":"handshake"}"#, "thread main panicked"].into_iter());
        assert_eq!(failed.failures, ["handshake", "thread main panicked"]);
        assert!(failed.unharmed().is_err());
    }
}
