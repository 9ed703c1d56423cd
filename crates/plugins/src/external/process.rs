//! A plugin's process: started, waited for, and never left behind.
//!
//! A thread of its own starts the process and waits for it. The kernel ends a child together with the thread that
//! started it, so that no plugin outlives a program of ours that was killed; a thread of a pool would end too early.
//! It leads a process group, so that what it has started itself ends with it.

use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use parking_lot::Mutex;
use steeple_core::plugin::ExternalProgram;
use steeple_core::system_words;
use tokio::sync::{oneshot, watch};

use super::launch_error::LaunchError;
use super::program_file::ProgramFile;

/// Ends when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    /// Until it is reaped the pid is its own.
    running: Arc<Mutex<bool>>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

/// A process that was started, and what it prints.
#[derive(Debug)]
pub(super) struct Started {
    pub process: Process,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
}

/// Of our environment, beside what a plugin is told itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    /// Where it makes its socket: nobody else gets into it.
    pub sockets: &'a Path,
    /// Variables that are kept from it.
    pub withheld: &'a [String],
}

impl Process {
    /// With the cookie that tells a plugin that it is one, and with our environment (SPIRE behaviour).
    pub(super) async fn start(
        program: &ExternalProgram,
        file: ProgramFile,
        around: Surroundings<'_>,
    ) -> Result<Started, LaunchError> {
        let failed = |why: String| LaunchError::Start { path: program.path.display().to_string(), why };
        let command = command(program, file, around);
        let (told, answer) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("plugin {}", program.name));
        thread.spawn(move || live(command, told)).map_err(|error| failed(system_words(&error)))?;
        match answer.await {
            Ok(Ok(started)) => Ok(started),
            Ok(Err(error)) => Err(failed(system_words(&error))),
            Err(_) => Err(failed("the thread that starts it ended".into())),
        }
    }

    /// How it ended; `None` while it runs.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Waits for its end without keeping it.
    pub(super) fn end(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            match ended.wait_for(Option::is_some).await.map(|status| *status) {
                Ok(Some(status)) => status,
                // The thread tells before it ends.
                _ => ExitStatus::from_raw(0),
            }
        }
    }

    pub(super) fn kill(&self) {
        let running = self.running.lock();
        if *running {
            // It may have ended already, which is all that is wanted.
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// As Go prints it: `exit status 1`, `signal: killed`.
pub(super) fn shown(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("signal: {}", signal.as_str()),
            Err(_) => format!("signal: {signal}"),
        },
        (None, None) => "it ended".to_owned(),
    }
}

fn live(mut command: Command, told: oneshot::Sender<std::io::Result<Started>>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = told.send(Err(error));
            return;
        }
    };
    // The program is open in it.
    drop(command);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
    let (running, (tell_end, ended)) = (Arc::new(Mutex::new(true)), watch::channel(None));
    let process = Process { pid, running: Arc::clone(&running), ended };
    if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
        // Whoever has gone away meanwhile drops it, and so ends it.
        let _ = told.send(Ok(Started { process, stdout, stderr }));
    }
    // Without reaping: until `running` says so, its pid is nobody else's.
    while let Err(Errno::EINTR) = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {}
    // What it has left behind.
    let _ = killpg(pid, Signal::SIGKILL);
    *running.lock() = false;
    let status = child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0));
    tell_end.send_replace(Some(status));
}

fn command(program: &ExternalProgram, file: ProgramFile, around: Surroundings<'_>) -> Command {
    let mut command = Command::new(file.to_execute());
    command.arg0(&file.path).args(&program.args);
    for variable in around.withheld.iter().map(String::as_str).chain(NOT_OURS) {
        command.env_remove(variable);
    }
    command.env(&program.kind, &program.kind).env("PLUGIN_UNIX_SOCKET_DIR", around.sockets);
    command.envs([("PLUGIN_MIN_PORT", "0"), ("PLUGIN_MAX_PORT", "0"), ("PLUGIN_PROTOCOL_VERSIONS", "1")]);
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    end_with_us(&mut command, file.into_checked());
    command
}

/// The kernel kills the child when the thread that starts it is gone. `keep_open` goes along: an interpreter opens the
/// program anew.
#[allow(unsafe_code)] // The one way to have something done between fork and exec.
fn end_with_us(command: &mut Command, keep_open: Option<File>) {
    let parent = nix::unistd::getpid();
    let in_child = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if nix::unistd::getppid() != parent {
            return Err(Errno::ESRCH.into());
        }
        if let Some(file) = &keep_open {
            fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: three system calls, no memory is taken and no lock.
    unsafe { command.pre_exec(in_child) };
}

/// What a plugin would take for our wish: TLS, one connection for all, and a socket that a group may use.
const NOT_OURS: [&str; 3] = ["PLUGIN_CLIENT_CERT", "PLUGIN_MULTIPLEX_GRPC", "PLUGIN_UNIX_SOCKET_GROUP"];
