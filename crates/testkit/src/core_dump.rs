//! Processes that crash, and whether they leave a core dump.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Process;

/// Signals of a crash: an assertion that failed, and memory that is not there.
pub const CRASHES: [Signal; 2] = [Signal::SIGABRT, Signal::SIGSEGV];
/// Rust's handler takes the first SIGSEGV for an overflow of the stack, finds none, and leaves the next to the kernel.
const TRIES_MAX: usize = 5;
const TRY_MAX: Duration = Duration::from_secs(5);

/// What this process starts from now on may dump. True if an unprotected program, started in `dir` and crashed, does.
pub async fn allow_core_dumps(dir: &Path) -> anyhow::Result<bool> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, hard, hard)?;
    std::fs::create_dir_all(dir)?;
    let mut command = Command::new("sleep");
    command.arg("600").current_dir(dir);
    let mut sleeper = Process::start("sleep", command, &dir.join("log"))?;
    leaves_core_dump(&mut sleeper, dir, Signal::SIGABRT).await
}

/// Crashes a process that runs in `dir`. True if the kernel says that it dumped it, or a core file is there.
pub async fn leaves_core_dump(process: &mut Process, dir: &Path, crash: Signal) -> anyhow::Result<bool> {
    let pid = Pid::from_raw(process.pid());
    for _ in 0..TRIES_MAX {
        // Not reaped yet, so the id is its own.
        kill(pid, crash)?;
        let Ok(status) = tokio::time::timeout(TRY_MAX, process.exited()).await else { continue };
        let status = status?;
        ensure!(status.signal() == Some(crash as i32), "{} ended otherwise: {status}", process.name());
        return Ok(status.core_dumped() || has_core_file(dir)?);
    }
    Err(process.failure(&format!("survives {crash}")))
}

fn has_core_file(dir: &Path) -> anyhow::Result<bool> {
    let items = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let names = items.map(|item| Ok(item?.file_name())).collect::<std::io::Result<Vec<_>>>()?;
    Ok(names.iter().any(|name| name == "core" || name.to_string_lossy().starts_with("core.")))
}
