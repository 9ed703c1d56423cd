//! Binding a socket path so that clients never find it missing, and accepting on it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tracing::warn;

use super::{PeerTracking, UdsConnection, UdsPeer};
use crate::limit::ConnectionLimit;
use crate::tls::pause_after;

/// Modes that hold whatever the umask is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindModes {
    /// Given to directories that have to be made; one that exists is left as it is.
    pub dir: u32,
    pub socket: u32,
}

/// Open connections on one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdsLimits {
    pub connections_max: usize,
    /// Keeps one user's runaway process from locking out everyone else's.
    pub connections_per_uid_max: usize,
}

/// A bound socket. The file stays when this is dropped: clients that find a stale socket retry, some that find
/// nothing give up for good.
#[derive(Debug)]
pub struct UdsListener {
    listener: UnixListener,
    path: PathBuf,
}

/// Accepts on a [`UdsListener`] under limits.
#[derive(Debug)]
pub struct UdsAcceptor {
    pub tracking: PeerTracking,
    pub limits: UdsLimits,
}

/// Why a path could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    #[error("{} is in use: stop the process that serves on it or configure another path", .path.display())]
    InUse { path: PathBuf },
    #[error(
        "cannot {action} {}: {source}; its directory has to be there or to be made, and writable: mend that or \
         configure another path", .path.display()
    )]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} exists and is not a socket: move it away or configure another path", .path.display())]
    NotASocket { path: PathBuf },
    #[error("{} is no path for a socket: it needs a directory and a file name", .path.display())]
    NoName { path: PathBuf },
    #[error("{} is too long: a socket path has at most {SOCKET_PATH_BYTES_MAX} bytes on Linux", .path.display())]
    TooLong { path: PathBuf },
}

impl UdsListener {
    /// Binds under a temporary name, sets the mode, then renames over whatever stale socket was there, so that the
    /// path never goes missing and is never open to more than `modes` says.
    pub fn bind(path: &Path, modes: BindModes) -> Result<Self, BindError> {
        let io_error = |action: &'static str| move |source| BindError::Io { action, path: path.to_owned(), source };
        let (listener, temporary) = bind_beside(path, modes)?;
        fs::set_permissions(&temporary, Permissions::from_mode(modes.socket))
            .and_then(|()| fs::rename(&temporary, path))
            .map_err(|source| {
                let _ = fs::remove_file(&temporary);
                io_error("put in place")(source)
            })?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// What [`bind`](Self::bind) would refuse, found out by all of it but the last step, for a server that binds late:
    /// nobody finds a socket there. A directory that was missing stays.
    pub fn check(path: &Path, modes: BindModes) -> Result<(), BindError> {
        let (_listener, temporary) = bind_beside(path, modes)?;
        fs::remove_file(&temporary).map_err(|source| BindError::Io { action: "tidy up", path: temporary, source })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For servers that need not know who is on the other end.
    pub fn into_inner(self) -> UnixListener {
        self.listener
    }
}

impl UdsAcceptor {
    /// Accepts until `ready` has no receiver. A peer that cannot be identified loses its own connection, nothing more.
    pub async fn run(self, listener: UdsListener, ready: mpsc::Sender<UdsConnection>) {
        self.run_on(&listener, ready).await;
    }

    /// For a listener that will be served by another when this ends.
    pub async fn run_on(&self, listener: &UdsListener, ready: mpsc::Sender<UdsConnection>) {
        let connections = ConnectionLimit::new(self.limits.connections_max, self.limits.connections_per_uid_max);
        loop {
            let accepted = tokio::select! {
                accepted = listener.listener.accept() => accepted,
                () = ready.closed() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            };
            let peer = match UdsPeer::of(&stream, self.tracking) {
                Ok(peer) => peer,
                Err(error) => {
                    warn!(%error, "connection refused: peer cannot be identified");
                    continue;
                }
            };
            let slot = match connections.admit(peer.uid) {
                Ok(slot) => slot,
                Err(reason) => {
                    warn!(uid = peer.uid, pid = peer.pid, %reason, "connection refused");
                    continue;
                }
            };
            if ready.send(UdsConnection::new(stream, peer, Some(slot))).await.is_err() {
                return;
            }
        }
    }
}

impl BindModes {
    /// The agent's Workload API: anyone on the node may connect (SPIRE behaviour).
    pub const PUBLIC: Self = Self { dir: 0o755, socket: 0o777 };
    /// Admin sockets: file permission is the only check (SPIRE behaviour).
    pub const PRIVATE: Self = Self { dir: 0o750, socket: 0o770 };
}

impl UdsLimits {
    /// Beyond what one node runs in workloads.
    pub const DEFAULT: Self = Self { connections_max: 8_192, connections_per_uid_max: 6_144 };
}

/// A socket in the directory of `path`, which nobody looks for, and its name.
fn bind_beside(path: &Path, modes: BindModes) -> Result<(UnixListener, PathBuf), BindError> {
    let io_error = |action: &'static str| move |source| BindError::Io { action, path: path.to_owned(), source };
    let (dir, temporary) = places(path)?;
    make_dir(dir, modes.dir).map_err(io_error("make the directory of"))?;
    refuse_if_taken(path)?;
    remove_stale(&temporary).map_err(io_error("clear the way for"))?;
    let listener = UnixListener::bind(&temporary).map_err(io_error("bind"))?;
    Ok((listener, temporary))
}

/// The directory, and the name under which the socket is made ready.
fn places(path: &Path) -> Result<(&Path, PathBuf), BindError> {
    let (Some(dir), Some(_)) = (path.parent(), path.file_name()) else {
        return Err(BindError::NoName { path: path.to_owned() });
    };
    // Short, so that it fits wherever an ordinary name does; the pid keeps two starting servers apart.
    let temporary = dir.join(format!(".{:x}", std::process::id()));
    if [path, &temporary].iter().any(|path| path.as_os_str().len() > SOCKET_PATH_BYTES_MAX) {
        return Err(BindError::TooLong { path: path.to_owned() });
    }
    Ok((dir, temporary))
}

/// Makes what is missing and touches nothing that exists: a bind mount pins the directory's inode.
fn make_dir(dir: &Path, mode: u32) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_dir(parent, mode)?;
    }
    match DirBuilder::new().mode(mode).create(dir) {
        Ok(()) => fs::set_permissions(dir, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn refuse_if_taken(path: &Path) -> Result<(), BindError> {
    let io_error = |source| BindError::Io { action: "inspect", path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error(error)),
        Ok(found) if !found.file_type().is_socket() => Err(BindError::NotASocket { path: path.to_owned() }),
        Ok(_) if is_served(path).map_err(io_error)? => Err(BindError::InUse { path: path.to_owned() }),
        Ok(_) => Ok(()),
    }
}

/// Whether a connection attempt finds a listener. Non-blocking: a full backlog means a live, busy server.
fn is_served(path: &Path) -> io::Result<bool> {
    use rustix::io::Errno;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `sun_path` has 108 bytes, the last one for the terminating zero (unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;
