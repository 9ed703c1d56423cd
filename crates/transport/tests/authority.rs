//! Clients that put a socket path into `:authority`, byte by byte as they send it, against the real server.

mod common;

use std::path::{Path, PathBuf};

use common::{Echo, soon};
use steeple_transport::serve::{ServeLimits, serve};
use steeple_transport::uds::{BindModes, PeerTracking, UdsAcceptor, UdsLimits, UdsListener, UdsPeer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// What the service saw: authority, a header, the peer's pid.
type Seen = (Option<String>, String, u32);

struct Server {
    path: PathBuf,
    seen: mpsc::UnboundedReceiver<Seen>,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let listener = UdsListener::bind(&path, BindModes::PUBLIC).unwrap();
        let (sender, ready) = mpsc::channel(8);
        let acceptor = UdsAcceptor { tracking: PeerTracking::Process, limits: UdsLimits::DEFAULT };
        tokio::spawn(acceptor.run(listener, sender));
        let (tell, seen) = mpsc::unbounded_channel();
        let service = Echo(move |request: &http::Request<tonic::body::Body>| {
            let authority = request.uri().authority().map(ToString::to_string);
            let header = request.headers().get("x").map(|value| value.to_str().unwrap().to_owned());
            let pid = request.extensions().get::<UdsPeer>().unwrap().pid;
            tell.send((authority, header.unwrap_or_default(), pid)).unwrap();
            String::new()
        });
        tokio::spawn(serve(service, ready, ServeLimits::UDS, std::future::pending()));
        Self { path, seen, _dir: dir }
    }

    async fn saw(&mut self, authority: &str, header: &str) {
        let seen = soon(self.seen.recv()).await.unwrap();
        assert_eq!(seen, (Some(authority.to_owned()), header.to_owned(), std::process::id()));
    }
}

/// A client that controls every byte.
struct Client(UnixStream);

impl Client {
    async fn connect(path: &Path) -> Self {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        Self(stream)
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next frame that is not about the connection: its kind, stream and payload.
    async fn receive(&mut self) -> (u8, u32, Vec<u8>) {
        loop {
            let mut head = [0; 9];
            soon(self.0.read_exact(&mut head)).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            soon(self.0.read_exact(&mut payload)).await.unwrap();
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if stream != 0 || head[3] == GOAWAY {
                return (head[3], stream, payload);
            }
        }
    }
}

/// POST / over http with the authority as an indexed literal and header `x`, likewise indexed.
fn block(authority: &str, x: &str) -> Vec<u8> {
    [&[0x83, 0x86, 0x84][..], &indexed_literal(1, authority), &named_literal("x", x)].concat()
}

fn indexed_literal(name: u8, value: &str) -> Vec<u8> {
    [&[0x40 | name, value.len() as u8][..], value.as_bytes()].concat()
}

fn named_literal(name: &str, value: &str) -> Vec<u8> {
    [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

#[tokio::test]
async fn socket_paths_become_localhost_and_real_authorities_stay() {
    let mut server = Server::start();
    let cases = [
        ("/tmp/spire-agent/public/api.sock", "localhost"),
        ("%2Ftmp%2Fspire-agent%2Fpublic%2Fapi.sock", "localhost"),
        ("", "localhost"),
        ("unix:///tmp/x", "localhost"),
        ("localhost", "localhost"),
        ("agent.example.org:80", "agent.example.org:80"),
    ];
    for (sent, seen) in cases {
        let mut client = Client::connect(&server.path).await;
        client.send(HEADERS, END_STREAM | END_HEADERS, 1, &block(sent, "v")).await;
        server.saw(seen, "v").await;
        let (kind, stream, _) = client.receive().await;
        assert_eq!((kind, stream), (HEADERS, 1), "{sent}");
    }
}

/// After the first rewriting, later requests still mean the client's table: indexes 62 and 63 are what it put there.
#[tokio::test]
async fn later_requests_may_refer_to_what_earlier_ones_indexed() {
    let mut server = Server::start();
    let mut client = Client::connect(&server.path).await;
    client.send(HEADERS, END_STREAM | END_HEADERS, 1, &block("/run/api.sock", "first")).await;
    server.saw("localhost", "first").await;
    client.send(HEADERS, END_STREAM | END_HEADERS, 3, &[0x83, 0x86, 0x84, 0xbf, 0xbe]).await;
    server.saw("localhost", "first").await;
    let third = [&[0x83, 0x86, 0x84, 0xbf][..], &named_literal("x", "third")].concat();
    client.send(HEADERS, END_STREAM | END_HEADERS, 5, &third).await;
    server.saw("localhost", "third").await;
    client.send(HEADERS, END_STREAM | END_HEADERS, 7, &[0x83, 0x86, 0x84, 0xc0, 0xbe]).await;
    server.saw("localhost", "third").await;
    // A good authority in the middle of a rewritten connection passes as it is.
    client.send(HEADERS, END_STREAM | END_HEADERS, 9, &block("example.org", "fifth")).await;
    server.saw("example.org", "fifth").await;
    client.send(HEADERS, END_STREAM | END_HEADERS, 11, &[0x83, 0x86, 0x84, 0xbf, 0xc0]).await;
    server.saw("example.org", "third").await;
}

#[tokio::test]
async fn padding_priority_and_continuations_are_understood() {
    let mut server = Server::start();
    let mut client = Client::connect(&server.path).await;
    let fragment = block("/run/api.sock", "padded");
    let payload = [&[7_u8][..], &[0, 0, 0, 0, 15], &fragment, &[0; 7]].concat();
    client.send(HEADERS, END_STREAM | END_HEADERS | 0x8 | 0x20, 1, &payload).await;
    server.saw("localhost", "padded").await;

    let fragment = block("%2Frun%2Fapi.sock", "continued");
    client.send(HEADERS, END_STREAM, 3, &fragment[..5]).await;
    client.send(CONTINUATION, 0, 3, &fragment[5..9]).await;
    client.send(CONTINUATION, END_HEADERS, 3, &fragment[9..]).await;
    server.saw("localhost", "continued").await;
}

#[tokio::test]
async fn a_block_that_arrives_byte_by_byte_is_one_block() {
    let mut server = Server::start();
    let mut client = Client::connect(&server.path).await;
    let fragment = block("/run/api.sock", "slow");
    let mut frame = vec![0, 0, fragment.len() as u8, HEADERS, END_STREAM | END_HEADERS, 0, 0, 0, 1];
    frame.extend(&fragment);
    for byte in frame {
        client.0.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    server.saw("localhost", "slow").await;
}

/// Wrong HTTP/2 gets h2's own answer, and floods get none.
#[tokio::test]
async fn broken_clients_lose_their_connection_and_nobody_else_does() {
    let mut server = Server::start();
    let mut bystander = Client::connect(&server.path).await;

    let mut bad_index = Client::connect(&server.path).await;
    bad_index.send(HEADERS, END_STREAM | END_HEADERS, 1, &[0xbe]).await;
    assert_eq!(bad_index.receive().await.0, GOAWAY);

    let mut interleaved = Client::connect(&server.path).await;
    interleaved.send(HEADERS, END_STREAM, 1, &block("/run/api.sock", "v")).await;
    interleaved.send(0, 0, 1, b"data").await;
    assert_eq!(interleaved.receive().await.0, GOAWAY);

    let mut flood = Client::connect(&server.path).await;
    flood.send(HEADERS, END_STREAM, 1, &block("/run/api.sock", "v")).await;
    for _ in 0..40 {
        if flood.0.write_all(b"\0\0\0\x09\0\0\0\0\x01").await.is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let _ = soon(flood.0.read_to_end(&mut rest)).await;

    let mut without_authority = Client::connect(&server.path).await;
    without_authority.send(HEADERS, END_STREAM | END_HEADERS, 1, &[0x83, 0x84]).await;
    assert_eq!(without_authority.receive().await.0, RST_STREAM, "no scheme: h2 resets the stream only");

    bystander.send(HEADERS, END_STREAM | END_HEADERS, 1, &block("/run/api.sock", "still here")).await;
    server.saw("localhost", "still here").await;
}
