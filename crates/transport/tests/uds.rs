//! Unix sockets: binding without a gap, refusing a second server, knowing the peer.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::RwLock;

use common::soon;
use steeple_transport::uds::{
    BindError, BindModes, PeerError, PeerTracking, UdsAcceptor, UdsConnection, UdsLimits, UdsListener,
};
use tokio::sync::mpsc;

fn start(path: &Path, tracking: PeerTracking) -> mpsc::Receiver<UdsConnection> {
    start_with(path, tracking, UdsLimits::DEFAULT)
}

fn start_with(path: &Path, tracking: PeerTracking, limits: UdsLimits) -> mpsc::Receiver<UdsConnection> {
    let listener = UdsListener::bind(path, BindModes::PUBLIC).unwrap();
    let (sender, ready) = mpsc::channel(8);
    tokio::spawn(UdsAcceptor { tracking, limits }.run(listener, sender));
    ready
}

/// A process of its own that connects to a socket: this test program again, told by a variable to run [`peer_process`].
struct Client(Child);

/// Between its fork and its exec a child holds every descriptor of this process, so that a socket dropped meanwhile
/// still listens. A spawn writes, a test that needs a drop to close reads.
static SPAWNING: RwLock<()> = RwLock::new(());

impl Client {
    fn connect(path: &Path) -> Self {
        let spawning = SPAWNING.write().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "peer_process", "--nocapture"])
            .env(PEER_SOCKET, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(spawning);
        let mut client = Self(child);
        client.wait_for("connected");
        client
    }

    fn become_nobody(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.wait_for("changed");
    }

    fn wait_for(&mut self, expected: &str) {
        let mut line = String::new();
        // Unbuffered, so that nothing of the next line is lost with the reader.
        BufReader::with_capacity(1, self.0.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), expected);
    }

    fn exit(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

/// Not a test of its own: connects, becomes nobody when it is sent a line, exits when its input ends.
#[test]
fn peer_process() {
    let Some(path) = std::env::var_os(PEER_SOCKET) else { return };
    let _connection = UnixStream::connect(path).unwrap();
    eprintln!("connected");
    for _ in std::io::stdin().lines() {
        let nobody = nix::unistd::Uid::from_raw(65_534);
        nix::unistd::setresuid(nobody, nobody, nix::unistd::Uid::from_raw(0)).unwrap();
        eprintln!("changed");
    }
}

const PEER_SOCKET: &str = "STEEPLE_TEST_PEER_SOCKET";

fn socket_in(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("made/api.sock")
}

#[tokio::test]
async fn modes_hold_whatever_the_umask_and_nothing_else_is_left_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = socket_in(&dir);
    let old = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let listener = UdsListener::bind(&path, BindModes::PUBLIC);
    nix::sys::stat::umask(old);
    let listener = listener.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o777, 0o755));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    drop(listener);
    assert!(path.exists(), "the file outlives the listener");

    // A directory that exists keeps its mode and its inode.
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    let inode = fs::metadata(path.parent().unwrap()).unwrap().ino();
    UdsListener::bind(&path, BindModes::PRIVATE).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o770, 0o700));
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().ino(), inode);
}

#[tokio::test]
async fn a_live_server_is_never_displaced_and_a_stale_socket_always_is() {
    let _nobody_spawns = SPAWNING.read().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = socket_in(&dir);
    let first = UdsListener::bind(&path, BindModes::PUBLIC).unwrap();
    let error = UdsListener::bind(&path, BindModes::PUBLIC).unwrap_err();
    assert!(matches!(&error, BindError::InUse { path: taken } if *taken == path), "{error}");
    UnixStream::connect(&path).unwrap();
    drop(first);
    UdsListener::bind(&path, BindModes::PUBLIC).unwrap();
}

#[tokio::test]
async fn impossible_paths_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    assert!(matches!(UdsListener::bind(&file, BindModes::PUBLIC), Err(BindError::NotASocket { .. })));
    assert!(matches!(UdsListener::check(&file, BindModes::PUBLIC), Err(BindError::NotASocket { .. })));
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(matches!(UdsListener::bind(Path::new("/"), BindModes::PUBLIC), Err(BindError::NoName { .. })));
    let long = dir.path().join("x".repeat(108));
    assert!(matches!(UdsListener::bind(&long, BindModes::PUBLIC), Err(BindError::TooLong { .. })));
    assert!(matches!(UdsListener::check(&long, BindModes::PUBLIC), Err(BindError::TooLong { .. })));
    let below_a_file = file.join("api.sock");
    assert!(matches!(UdsListener::bind(&below_a_file, BindModes::PUBLIC), Err(BindError::Io { .. })));
}

/// spiffe-csi and clients that look before they connect: at no moment may the path be missing.
#[tokio::test]
async fn the_path_never_goes_missing_while_it_is_replaced() {
    let _nobody_spawns = SPAWNING.read().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = socket_in(&dir);
    drop(UdsListener::bind(&path, BindModes::PUBLIC).unwrap());
    let watched = path.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            assert!(watched.exists());
        }
    });
    for _ in 0..200 {
        drop(UdsListener::bind(&path, BindModes::PUBLIC).unwrap());
    }
    drop(stop);
    watcher.join().unwrap();
}

#[tokio::test]
async fn a_peer_is_known_until_it_exits() {
    let dir = tempfile::tempdir().unwrap();
    let path = socket_in(&dir);
    let mut ready = start(&path, PeerTracking::Process);
    let client = Client::connect(&path);
    let connection = soon(ready.recv()).await.unwrap();
    let peer = connection.peer();
    assert_eq!(peer.pid, client.0.id());
    assert_eq!((peer.uid, peer.gid), (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw()));
    let watch = peer.watch.clone().unwrap();
    assert!(watch.start_time() > 0);
    assert_eq!(watch.check(), Ok(()));
    client.exit();
    assert_eq!(watch.check(), Err(PeerError::Exited));
    assert!(!watch.is_alive());
}

/// A process may connect and then become someone else, while its socket lives on elsewhere.
#[tokio::test]
async fn a_peer_that_changes_its_user_is_no_longer_trusted() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: only root may change its user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = socket_in(&dir);
    let mut ready = start(&path, PeerTracking::Process);
    let mut client = Client::connect(&path);
    let connection = soon(ready.recv()).await.unwrap();
    let watch = connection.peer().watch.clone().unwrap();
    assert!(watch.is_alive());
    client.become_nobody();
    assert_eq!(watch.check(), Err(PeerError::OwnerChanged));
    client.exit();
}

#[tokio::test]
async fn admin_sockets_take_credentials_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = socket_in(&dir);
    let mut ready = start(&path, PeerTracking::CredentialsOnly);
    let _client = UnixStream::connect(&path).unwrap();
    let connection = soon(ready.recv()).await.unwrap();
    assert_eq!(connection.peer().pid, std::process::id());
    assert!(connection.peer().watch.is_none());
}

#[tokio::test]
async fn connections_of_one_user_are_capped() {
    use std::io::Read;
    let dir = tempfile::tempdir().unwrap();
    let path = socket_in(&dir);
    let limits = UdsLimits { connections_per_uid_max: 1, ..UdsLimits::DEFAULT };
    let mut ready = start_with(&path, PeerTracking::Process, limits);
    let _first = UnixStream::connect(&path).unwrap();
    let accepted = soon(ready.recv()).await.unwrap();
    let mut second = UnixStream::connect(&path).unwrap();
    let closed = tokio::task::spawn_blocking(move || second.read(&mut [0; 1]).unwrap());
    assert_eq!(soon(closed).await.unwrap(), 0);
    drop(accepted);
    let _third = UnixStream::connect(&path).unwrap();
    soon(ready.recv()).await.unwrap();
}
