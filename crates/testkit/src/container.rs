//! A container as far as the kernel knows of one: a cgroup and a pid namespace with an init. No runtime, no image.

use std::ffi::OsStr;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::{Cgroup, until};

/// Its processes end with the value.
#[derive(Debug)]
pub struct Container {
    init: u32,
    /// The init's parent, which ends when the init does.
    outer: Child,
    // Dropped last: it can be removed only when it is empty.
    cgroup: Cgroup,
}

impl Container {
    /// With a cgroup of this path. Its init does nothing.
    pub async fn start(path: &str) -> anyhow::Result<Self> {
        Self::start_in(Cgroup::make(path)?).await
    }

    /// In a cgroup that was made for it.
    pub async fn start_in(cgroup: Cgroup) -> anyhow::Result<Self> {
        let program = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--", "sleep", "3600"];
        let outer = start_within(&cgroup, &program, Stdio::null()).await?;
        let parent = outer.id().context("it ended at once")?;
        let init = until("an init", START_MAX, async || only_child(parent)).await?;
        Ok(Self { init, outer, cgroup })
    }

    /// As `kubectl exec` and `docker exec` do: in the cgroup and in the pid namespace.
    pub async fn exec(&self, program: &[&OsStr]) -> anyhow::Result<Output> {
        let target = self.init.to_string();
        let enter = ["nsenter", "--target", &target, "--pid", "--"].map(OsStr::new);
        run_within(&self.cgroup, &[&enter, program].concat()).await
    }

    /// As a process of the node does that moves itself here: in the cgroup, in the node's pid namespace.
    pub async fn intrude(&self, program: &[&OsStr]) -> anyhow::Result<Output> {
        run_within(&self.cgroup, program).await
    }

    /// As a process of `other` does that moves itself here: in this cgroup, in the other's pid namespace.
    pub async fn intrude_from(&self, other: &Self, program: &[&OsStr]) -> anyhow::Result<Output> {
        let target = other.init.to_string();
        let enter = ["nsenter", "--target", &target, "--pid", "--"].map(OsStr::new);
        run_within(&self.cgroup, &[&enter, program].concat()).await
    }
}

impl Drop for Container {
    /// The end of a pid namespace's init is the end of all in it.
    fn drop(&mut self) {
        let pid = |pid: u32| i32::try_from(pid).ok().map(Pid::from_raw);
        if let (Some(init), Some(outer)) = (pid(self.init), self.outer.id().and_then(pid)) {
            let _ = kill(init, Signal::SIGKILL);
            // Left for the runtime to reap.
            let _ = waitid(Id::Pid(outer), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        }
    }
}

async fn run_within(cgroup: &Cgroup, program: &[&OsStr]) -> anyhow::Result<Output> {
    let child = start_within(cgroup, program, Stdio::piped()).await?;
    Ok(tokio::time::timeout(RUN_MAX, child.wait_with_output()).await.context("it does not end")??)
}

/// The shell waits for a line, so that the program is in the cgroup before it begins.
async fn start_within<S: AsRef<OsStr>>(cgroup: &Cgroup, program: &[S], said: Stdio) -> anyhow::Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", "read -r go && exec \"$@\" </dev/null", "sh"]).args(program);
    command.stdin(Stdio::piped()).stdout(said).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("cannot start sh")?;
    cgroup.hold(child.id().context("sh ended at once")?)?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(b"go\n").await?;
    Ok(child)
}

fn only_child(parent: u32) -> anyhow::Result<u32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    let pids: Vec<&str> = children.split_whitespace().collect();
    ensure!(pids.len() == 1, "its children: {children:?}");
    Ok(pids[0].parse()?)
}

const START_MAX: Duration = Duration::from_secs(30);
/// An attestation that fails takes its time.
const RUN_MAX: Duration = Duration::from_secs(120);
