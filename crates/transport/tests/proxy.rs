//! PROXY headers in front of real TLS, over real sockets.

mod common;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use common::{World, loopback, soon};
use rustls_pki_types::ServerName;
use steeple_transport::proxy::TrustedProxies;
use steeple_transport::tls::{AcceptLimits, KeyExchange, TlsAcceptor, TlsConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const V1: &[u8] = b"PROXY TCP4 10.1.2.3 127.0.0.1 12345 8081\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f\x0a\x01\x02\x03\x7f\x00\x00\x01\x30\x39\x1f\x91\x04\x00\x00";

struct Server {
    world: World,
    address: SocketAddr,
    acceptor: Arc<TlsAcceptor>,
    ready: mpsc::Receiver<TlsConnection<TcpStream>>,
}

impl Server {
    async fn start(proxies: TrustedProxies) -> Self {
        Self::with(proxies, AcceptLimits::DEFAULT).await
    }

    async fn with(proxies: TrustedProxies, limits: AcceptLimits) -> Self {
        let world = World::new();
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::behind(proxies, world.server_config(KeyExchange::Compatible), limits);
        let (sender, ready) = mpsc::channel(8);
        tokio::spawn(Arc::clone(&acceptor).run(listener, sender));
        Self { world, address, acceptor, ready }
    }

    /// Sends `header` in the given pieces, then speaks TLS.
    async fn connect(&self, header: impl IntoIterator<Item = &[u8]>) -> io::Result<TlsStream<TcpStream>> {
        let mut tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        for piece in header {
            tcp.write_all(piece).await?;
            tokio::task::yield_now().await;
        }
        let client = TlsConnector::from(self.world.client_config(None, KeyExchange::Compatible));
        soon(client.connect(ServerName::try_from("server.test").unwrap(), tcp)).await
    }

    async fn source(&mut self) -> SocketAddr {
        soon(self.ready.recv()).await.unwrap().peer().remote_addr
    }
}

fn trusting(proxy: &str) -> TrustedProxies {
    let proxy: IpAddr = proxy.parse().unwrap();
    TrustedProxies::where_true(move |address| address == proxy)
}

#[tokio::test]
async fn a_trusted_proxy_says_whom_it_speaks_for() {
    let mut server = Server::start(trusting("127.0.0.1")).await;
    for header in [V1, V2] {
        let _in_one = server.connect([header]).await.unwrap();
        assert_eq!(server.source().await, "10.1.2.3:12345".parse().unwrap());
        let _byte_by_byte = server.connect(header.chunks(1)).await.unwrap();
        assert_eq!(server.source().await, "10.1.2.3:12345".parse().unwrap());
    }
    let _unknown = server.connect([&b"PROXY UNKNOWN\r\n"[..]]).await.unwrap();
    assert_eq!(server.source().await.ip(), loopback().ip());
    let _without = server.connect([]).await.unwrap();
    assert_eq!(server.source().await.ip(), loopback().ip());
}

#[tokio::test]
async fn nobody_else_may() {
    let mut server = Server::start(trusting("192.0.2.1")).await;
    for header in [V1, V2] {
        server.connect([header]).await.expect_err("not trusted");
    }
    let _without = server.connect([]).await.unwrap();
    assert_eq!(server.source().await.ip(), loopback().ip());

    let off = Server::start(TrustedProxies::default()).await;
    off.connect([V1]).await.expect_err("a header is no TLS");
}

#[tokio::test]
async fn garbage_ends_the_connection() {
    let mut server = Server::start(trusting("127.0.0.1")).await;
    let endless = [b'P'; 4096];
    let mut too_long = V2.to_vec();
    (too_long[14], too_long[15]) = (0xff, 0xff);
    let mut other_version = V2.to_vec();
    other_version[12] = 0x31;
    for garbage in [&b"POST / HTTP/1.1\r\n"[..], b"PROXY TCP4 x y 1 2\r\n", &endless, &too_long, &other_version, b"\r"]
    {
        server.connect([garbage]).await.expect_err("refused");
    }
    let _good = server.connect([V1]).await.unwrap();
    assert_eq!(server.source().await, "10.1.2.3:12345".parse().unwrap(), "the next one is served");
}

#[tokio::test]
async fn a_header_that_does_not_come_is_not_waited_for() {
    let limits = AcceptLimits { handshake_timeout: Duration::from_millis(100), ..AcceptLimits::DEFAULT };
    let server = Server::with(trusting("127.0.0.1"), limits).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(&V1[..20]).await.unwrap();
    assert_eq!(soon(tcp.read(&mut [0])).await.unwrap_or_default(), 0);
    // The place is given back a moment after the connection ends.
    soon(async {
        while server.acceptor.open_connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn connections_are_counted_for_the_client_and_not_for_its_proxy() {
    let limits = AcceptLimits { connections_per_ip_max: 1, ..AcceptLimits::DEFAULT };
    let mut server = Server::with(trusting("127.0.0.1"), limits).await;
    let mut open = Vec::new();
    for client in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        let header = format!("PROXY TCP4 {client} 127.0.0.1 1 8081\r\n");
        let stream = server.connect([header.as_bytes()]).await.unwrap();
        open.push((stream, soon(server.ready.recv()).await.unwrap()));
    }
    assert_eq!(server.acceptor.open_connections(), 3);
    server.connect([&b"PROXY TCP4 10.0.0.1 127.0.0.1 2 8081\r\n"[..]]).await.expect_err("its second connection");
}
