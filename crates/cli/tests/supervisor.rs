//! The supervisor's side of the protocol: real datagram sockets.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use steeple_cli::{Environment, Supervisor};

const PID: u32 = 7;

fn supervisor(variables: &[(&str, &str)]) -> Supervisor {
    Supervisor::of(&variables.iter().copied().collect::<Environment>(), PID)
}

/// Blocks until a message is there.
fn heard(socket: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = socket.recv(&mut message).expect("a message");
    String::from_utf8(message[..length].to_vec()).expect("text")
}

#[test]
fn readiness_status_and_end_arrive_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let supervisor = supervisor(&[("NOTIFY_SOCKET", path.to_str().expect("text"))]);
    supervisor.ready("waits for its cluster");
    supervisor.status("two\nREADY=1\u{7}lines");
    supervisor.status(&"x".repeat(10_000));
    supervisor.stopping();
    assert_eq!(heard(&socket), "READY=1\nSTATUS=waits for its cluster");
    assert_eq!(heard(&socket), "STATUS=two READY=1 lines");
    assert_eq!(heard(&socket), format!("STATUS={}", "x".repeat(200)));
    assert_eq!(heard(&socket), "STOPPING=1");
}

#[test]
fn a_name_in_the_kernel_is_one_too() {
    let name = format!("steeple-supervisor-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    supervisor(&[("NOTIFY_SOCKET", &format!("@{name}"))]).ready("serves");
    assert_eq!(heard(&socket), "READY=1\nSTATUS=serves");
}

#[tokio::test]
async fn a_watchdog_hears_beats_until_the_process_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).expect("a socket");
    let watched = [("NOTIFY_SOCKET", path.to_str().expect("text")), ("WATCHDOG_USEC", "3000"), ("WATCHDOG_PID", "7")];
    let beats = tokio::spawn(supervisor(&watched).keep_alive());
    for _ in 0..3 {
        let mut message = [0; 64];
        let length = socket.recv(&mut message).await.expect("a message");
        assert_eq!(&message[..length], b"WATCHDOG=1");
    }
    beats.abort();
    assert!(beats.await.is_err_and(|error| error.is_cancelled()), "it goes on until it is stopped");
}

#[tokio::test]
async fn nobody_is_told_what_nobody_asked_for() {
    let socket = ("NOTIFY_SOCKET", "/nobody/listens/here");
    for variables in [
        vec![],
        vec![socket],
        vec![("NOTIFY_SOCKET", "relative")],
        vec![("NOTIFY_SOCKET", "")],
        vec![("WATCHDOG_USEC", "3000")],
        vec![socket, ("WATCHDOG_USEC", "0")],
        vec![socket, ("WATCHDOG_USEC", "soon")],
        vec![socket, ("WATCHDOG_USEC", "3000"), ("WATCHDOG_PID", "8")],
    ] {
        let supervisor = supervisor(&variables);
        supervisor.ready("nothing happens");
        // Ends at once.
        supervisor.keep_alive().await;
    }
}
