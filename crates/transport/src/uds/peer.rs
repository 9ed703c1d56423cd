//! Who opened a Unix socket connection, in a form that survives the reuse of process ids.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, openat};
use tokio::net::UnixStream;

use super::proc_files::{effective_ids, start_time};

/// How much is wanted about the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerTracking {
    /// The kernel's credentials, nothing opened. For admin sockets, where a peer from another pid namespace has pid 0.
    CredentialsOnly,
    /// A [`PeerWatch`] for peers whose process is visible. For an admin socket of which some calls need to know it.
    ProcessIfVisible,
    /// A [`PeerWatch`] as well; peers without a visible pid are refused. For the Workload API.
    Process,
}

/// The connect info of a Unix socket connection: credentials as of `connect(2)`.
#[derive(Clone, Debug)]
pub struct UdsPeer {
    /// 0 when the process is not visible in our pid namespace.
    pub pid: u32,
    /// Effective, as `SO_PEERCRED` gives it.
    pub uid: u32,
    pub gid: u32,
    /// Present under [`PeerTracking::Process`], and for visible peers under [`PeerTracking::ProcessIfVisible`].
    pub watch: Option<Arc<PeerWatch>>,
}

/// Holds on to the process that connected, so that facts gathered under its pid can be trusted afterwards.
#[derive(Debug)]
pub struct PeerWatch {
    pid: u32,
    uid: u32,
    gid: u32,
    start_time: u64,
    anchor: Anchor,
}

/// Why a peer is not, or no longer, who it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    #[error("peer process has exited")]
    Exited,
    #[error("peer has no process id here: run the agent in the host's pid namespace (hostPID: true in Kubernetes)")]
    Invisible,
    #[error("/proc/<pid>/{file} has an unknown form")]
    Malformed { file: &'static str },
    #[error("peer process has changed its user or group since it connected")]
    OwnerChanged,
    #[error("cannot inspect the peer process: {0}")]
    System(io::ErrorKind),
}

#[derive(Debug)]
enum Anchor {
    /// From the kernel for this very connection (`SO_PEERPIDFD`, Linux 6.5): beyond doubt.
    Pidfd(Arc<OwnedFd>),
    /// An open `/proc/<pid>`: reading through it fails once that process is gone. A process that died between
    /// `connect` and our `accept` could still be mistaken, a window that older kernels leave open.
    ProcDir(OwnedFd),
}

impl UdsPeer {
    /// A process that somebody else named by its pid, as it is now.
    pub fn of_process(pid: u32) -> Result<Self, PeerError> {
        let anchor = Anchor::proc_dir(pid)?;
        let (uid, gid) = effective_ids(&anchor.read(pid, "status")?)?;
        let watch = Some(Arc::new(PeerWatch::open(pid, uid, gid, anchor)?));
        Ok(Self { pid, uid, gid, watch })
    }

    pub(super) fn of(stream: &UnixStream, tracking: PeerTracking) -> Result<Self, PeerError> {
        let credentials = stream.peer_cred().map_err(|error| PeerError::System(error.kind()))?;
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        let (uid, gid) = (credentials.uid(), credentials.gid());
        let watch = match tracking {
            PeerTracking::CredentialsOnly => None,
            PeerTracking::ProcessIfVisible if pid == 0 => None,
            PeerTracking::Process if pid == 0 => return Err(PeerError::Invisible),
            PeerTracking::ProcessIfVisible | PeerTracking::Process => {
                Some(Arc::new(PeerWatch::open(pid, uid, gid, Anchor::of(stream, pid)?)?))
            }
        };
        Ok(Self { pid, uid, gid, watch })
    }
}

impl PeerWatch {
    /// Clock ticks since boot (field 22 of `/proc/<pid>/stat`).
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Where the kernel gave one.
    pub fn pidfd(&self) -> Option<&Arc<OwnedFd>> {
        match &self.anchor {
            Anchor::Pidfd(pidfd) => Some(pidfd),
            Anchor::ProcDir(_) => None,
        }
    }

    /// Whether the pid still means the process that connected, under the same user. Call it *after* gathering facts.
    pub fn is_alive(&self) -> bool {
        self.check().is_ok()
    }

    /// As [`Self::is_alive`], with the reason.
    ///
    /// The owner matters as much as the pid: a process that connects and then executes a setuid program would
    /// otherwise be attested as that program's user while somebody else holds its end of the socket.
    pub fn check(&self) -> Result<(), PeerError> {
        if self.anchor.start_time(self.pid)? != self.start_time {
            return Err(PeerError::Exited);
        }
        if effective_ids(&self.anchor.read(self.pid, "status")?)? != (self.uid, self.gid) {
            return Err(PeerError::OwnerChanged);
        }
        self.anchor.check_running()
    }

    fn open(pid: u32, uid: u32, gid: u32, anchor: Anchor) -> Result<Self, PeerError> {
        let start_time = anchor.start_time(pid)?;
        // What was read under the pid belongs to the anchored process only if that still runs now.
        anchor.check_running()?;
        Ok(Self { pid, uid, gid, start_time, anchor })
    }
}

impl Anchor {
    fn of(stream: &UnixStream, pid: u32) -> Result<Self, PeerError> {
        match getsockopt(stream, sockopt::PeerPidfd) {
            Ok(pidfd) => Ok(Self::Pidfd(Arc::new(pidfd))),
            Err(nix::Error::ENOPROTOOPT) => Self::proc_dir(pid),
            // What kernels since 6.5 have answered, in turn, for a process that is gone.
            Err(nix::Error::EINVAL | nix::Error::ENODATA | nix::Error::ESRCH) => Err(PeerError::Exited),
            Err(errno) => Err(PeerError::System(io::Error::from(errno).kind())),
        }
    }

    fn proc_dir(pid: u32) -> Result<Self, PeerError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty()).map_err(from_errno)?;
        Ok(Self::ProcDir(dir))
    }

    fn start_time(&self, pid: u32) -> Result<u64, PeerError> {
        start_time(&self.read(pid, "stat")?)
    }

    fn read(&self, pid: u32, file: &'static str) -> Result<Vec<u8>, PeerError> {
        let content = match self {
            Self::Pidfd(_) => fs::read(format!("/proc/{pid}/{file}")),
            Self::ProcDir(dir) => {
                let fd = openat(dir, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(from_errno)?;
                let mut content = Vec::new();
                io::Read::read_to_end(&mut fs::File::from(fd), &mut content).map(|_| content)
            }
        };
        content.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
            Some(errno) => from_errno(errno),
            None => PeerError::System(error.kind()),
        })
    }

    fn check_running(&self) -> Result<(), PeerError> {
        match self {
            Self::Pidfd(pidfd) => check_pidfd(pidfd.as_fd()),
            // Reading through the directory has just succeeded, which is the check.
            Self::ProcDir(_) => Ok(()),
        }
    }
}

/// A pidfd becomes readable when its process exits.
fn check_pidfd(pidfd: BorrowedFd<'_>) -> Result<(), PeerError> {
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&at_once)).map_err(from_errno)? {
        0 => Ok(()),
        _ => Err(PeerError::Exited),
    }
}

fn from_errno(errno: rustix::io::Errno) -> PeerError {
    match errno {
        rustix::io::Errno::NOENT | rustix::io::Errno::SRCH => PeerError::Exited,
        other => PeerError::System(other.kind()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    fn ids() -> (u32, u32) {
        (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
    }

    /// Kernels before 6.5 give no pidfd for a socket's peer.
    #[test]
    fn an_open_proc_directory_notices_the_exit_too() {
        let mut child = sleeper();
        let (uid, gid) = ids();
        let watch = PeerWatch::open(child.id(), uid, gid, Anchor::proc_dir(child.id()).unwrap()).unwrap();
        assert_eq!(watch.check(), Ok(()));
        assert!(watch.pidfd().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(watch.check(), Err(PeerError::Exited));
    }

    #[test]
    fn another_start_time_is_another_process_and_another_owner_is_refused() {
        let mut child = sleeper();
        let (uid, gid) = ids();
        let anchor = || Anchor::proc_dir(child.id()).unwrap();
        let watch = PeerWatch::open(child.id(), uid, gid, anchor()).unwrap();
        let reused = PeerWatch { start_time: watch.start_time + 1, ..watch };
        assert_eq!(reused.check(), Err(PeerError::Exited));
        for (uid, gid) in [(uid + 1, gid), (uid, gid + 1)] {
            let watch = PeerWatch::open(child.id(), uid, gid, anchor()).unwrap();
            assert_eq!(watch.check(), Err(PeerError::OwnerChanged));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn an_exited_process_cannot_be_watched() {
        let mut child = sleeper();
        let pid = child.id();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(Anchor::proc_dir(pid).unwrap_err(), PeerError::Exited);
    }
}
