//! The programs that use the files: one that is started here, and one whose pid stands in a file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use steeple_config::{HelperCommand, SpiffeHelperSettings};
use tokio::process::{Child, Command};

pub(super) struct Dependents {
    command: Option<HelperCommand>,
    /// Not reaped while it is here, so that its pid is nobody else's.
    child: Option<Child>,
    pid_file: Option<PathBuf>,
    signal: Option<Signal>,
}

/// Why a program does not know that the files changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DependentError {
    #[error("renew_signal {0:?} is no signal: use a name such as \"SIGHUP\"")]
    SignalName(String),
    #[error("error executing process {program:?}: {source}")]
    Start { program: String, source: io::Error },
    #[error("failed to read pid file {path:?}: {source}")]
    ReadPid { path: PathBuf, source: io::Error },
    #[error("failed to parse pid file {path:?}: it holds no process id")]
    ParsePid { path: PathBuf },
    #[error("error signaling process {pid} with {signal}: {source}")]
    Signal { pid: Pid, signal: Signal, source: Errno },
}

impl Dependents {
    pub(super) fn of(settings: &SpiffeHelperSettings) -> Result<Self, DependentError> {
        let signal = settings.renew_signal.as_deref();
        let parsed = signal.map(|name| name.parse().map_err(|_| DependentError::SignalName(name.to_owned())));
        Ok(Self {
            command: settings.command.clone(),
            child: None,
            pid_file: settings.pid_file.clone(),
            signal: parsed.transpose()?,
        })
    }

    /// There are new files. What goes wrong is told in the log: the next files are another chance.
    pub(super) async fn renewed(&mut self) {
        if let Err(error) = self.start_or_signal() {
            tracing::error!(%error, "Unable to signal process");
        }
        if let Err(error) = self.signal_pid_file().await {
            tracing::error!(%error, "Unable to signal PID file");
        }
    }

    fn start_or_signal(&mut self) -> Result<(), DependentError> {
        let Some(HelperCommand { program, args }) = &self.command else { return Ok(()) };
        let failed = |source| DependentError::Start { program: program.clone(), source };
        if let Some(child) = &mut self.child {
            match child.try_wait().map_err(failed)? {
                None => {
                    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
                    return pid.map_or(Ok(()), |pid| send(Pid::from_raw(pid), self.signal));
                }
                Some(status) => tracing::info!(%status, "Process has exited; starting it again"),
            }
        }
        // Its input and outputs are ours.
        self.child = Some(Command::new(program).args(args).spawn().map_err(failed)?);
        Ok(())
    }

    /// The file is read each time; a program that is just starting may write it late.
    async fn signal_pid_file(&self) -> Result<(), DependentError> {
        let Some(path) = &self.pid_file else { return Ok(()) };
        let mut pause = PID_PAUSE;
        for _ in 1..PID_ATTEMPTS_MAX {
            match pid_in(path).and_then(|pid| send(pid, self.signal)) {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(%error, retry_interval = ?pause, "PID file cannot be signalled yet"),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        pid_in(path).and_then(|pid| send(pid, self.signal))
    }
}

/// Zero and negative numbers would be groups of processes.
fn pid_in(path: &Path) -> Result<Pid, DependentError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| DependentError::ReadPid { path: path.to_owned(), source })?;
    let pid = text.trim().parse().ok().filter(|pid: &i32| *pid > 0);
    pid.map(Pid::from_raw).ok_or_else(|| DependentError::ParsePid { path: path.to_owned() })
}

fn send(pid: Pid, signal: Option<Signal>) -> Result<(), DependentError> {
    let Some(signal) = signal else { return Ok(()) };
    kill(pid, signal).map_err(|source| DependentError::Signal { pid, signal, source })
}

/// Spiffe-helper's: 51 s in all.
const PID_ATTEMPTS_MAX: usize = 10;
const PID_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_names_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        assert!(pid_in(&path).unwrap_err().to_string().starts_with("failed to read pid file "));
        for (text, expected) in
            [(" 12\n", Some(12)), ("0", None), ("-1", None), ("1 2", None), ("", None), ("99999999999", None)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(pid_in(&path).ok(), expected.map(Pid::from_raw), "{text}");
        }
    }
}
