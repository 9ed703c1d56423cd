//! A server under a supervisor that waits for it.

use steeple_testkit::{Server, ServerSpec};
use tokio::net::UnixDatagram;

use crate::site::{Site, binaries, spec, text};

async fn heard(socket: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = socket.recv(&mut message).await.expect("a message");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[tokio::test]
async fn a_supervisor_hears_of_readiness_service_and_end() {
    let site = Site::new();
    let path = site.scratch.join("notify");
    let supervisor = UnixDatagram::bind(&path).expect("a socket");
    let env = vec![("NOTIFY_SOCKET".to_owned(), text(&path).to_owned())];
    let mut server =
        Server::start(&binaries(), site.scratch.path(), &ServerSpec { env, ..spec("alone") }).expect("starts");
    for said in ["READY=1\nSTATUS=waits for its cluster", "STATUS=serves"] {
        assert_eq!(heard(&supervisor).await, said);
    }
    server.stop().await.expect("an orderly end");
    assert_eq!(heard(&supervisor).await, "STOPPING=1");
}
