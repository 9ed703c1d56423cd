//! A child that cannot outlive the value that stands for it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// What is shown of a log when something went wrong.
const TAIL_BYTES: u64 = 6 * 1024;

/// A running program. It leads a process group of its own, so that a Ctrl-C in the terminal is ours to handle and so
/// that its own children end with it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both its outputs are appended to `log`.
    pub fn start(name: &str, mut command: std::process::Command, log: &Path) -> anyhow::Result<Self> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let (out, err) = (open().with_context(|| format!("cannot write {}", log.display()))?, open()?);
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let program = command.get_program().to_owned();
        let child = Command::from(command)
            .spawn()
            .with_context(|| format!("cannot start {}", Path::new(OsStr::new(&program)).display()))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).context("a process without an id")?;
        Ok(Self { name: name.to_owned(), child, pid: Pid::from_raw(pid), log: log.to_owned() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Waits for the end.
    pub async fn exited(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// SIGKILL, and waits until the kernel has taken everything back: ports and locks are free afterwards.
    pub async fn kill9(&mut self) -> anyhow::Result<()> {
        self.send_kill9();
        self.exited().await?;
        Ok(())
    }

    /// SIGKILL without waiting, for those who kill several at one instant. Follow with [`Process::exited`].
    pub fn send_kill9(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// SIGTERM; the program has `limit` to end.
    pub async fn terminate(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM);
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => Err(self.failure(&format!("did not end within {} s of SIGTERM", limit.as_secs()))),
        }
    }

    /// SIGSTOP: the process is there, its sockets are open, nothing answers.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// `what` with the end of the log.
    pub fn failure(&self, what: &str) -> anyhow::Error {
        anyhow!("{} {what}; the end of its log:\n{}", self.name, self.tail())
    }

    pub fn tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error| format!("({}: {error})", self.log.display()))
    }

    /// The most that it ever had in memory, MiB.
    pub fn peak_mib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel tells no peak")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
    }

    fn signal(&self, signal: Signal) {
        // Fails only for a group that is gone; the id cannot be another's before the child is reaped.
        if self.child.id().is_some() {
            let _ = killpg(self.pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- end of the log of {} ---\n{}", self.name, self.tail());
        }
        self.signal(Signal::SIGKILL);
        if self.child.id().is_some() {
            // Left to be reaped below, where the runtime's own account of the child is kept.
            let _ = waitid(Id::Pid(self.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            let _ = self.child.try_wait();
        }
    }
}
