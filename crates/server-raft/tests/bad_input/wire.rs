//! Bytes, messages and clients that no server should meet.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use steeple_api::server::agent::ListAgentsRequest;
use steeple_api::server::entry::ListEntriesRequest;
use steeple_api::server::svid::{MintJwtsvidRequest, MintX509svidRequest};
use steeple_api::types;
use steeple_testkit::{Binaries, ClusterRole, Server, ServerSpec, raw_call};
use steeple_transport::client::uds_channel;
use steeple_transport::tls::danger::AnyServer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::bench::{Bench, assert_unharmed, create, entry, spec};

/// The server drops a client that says nothing sensible after 10 s at the latest; this machine may be busy.
const DROPPED_MAX: Duration = Duration::from_secs(60);
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Slow clients of each port.
const SLOW: usize = 32;
/// More than the peer port has places for handshakes and for strangers, three times over.
const CROWD: usize = 300;
/// Before one of a crowd comes back, so that this machine has time for others.
const AWAY: Duration = Duration::from_millis(200);

async fn clustered(bench: &Bench) -> Server {
    let role = ClusterRole { join: Vec::new(), sealing_key_path: bench.scratch.join("cluster.key") };
    let mut server = bench.launch(&ServerSpec { cluster: Some(role), ..spec("server") });
    server.ready().await.expect("the server becomes ready");
    create(&server, "kept").await;
    server
}

#[tokio::test]
async fn garbage_and_truncated_frames_end_one_connection_only() {
    let bench = Bench::new();
    let server = clustered(&bench).await;
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0xff; 4096],
        // A TLS record that announces more than it may.
        &[0x16, 0x03, 0x01, 0xff, 0xff, 0x01],
        // A preface and the head of a frame of 16 MiB.
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x01rest",
    ];
    // SETTINGS, then a HEADERS frame that ends early: until the end comes, this may be a slow client.
    let truncated: &[u8] =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x20\x01\x04\x00\x00\x00\x01\x82";
    let mut dropped = JoinSet::new();
    for (bytes, ends) in garbage.map(|bytes| (bytes, false)).into_iter().chain([(truncated, true)]) {
        for address in [server.api_address(), server.peer_address()] {
            let stream = TcpStream::connect(&address).await.expect("the port is open");
            dropped.spawn(async move { assert_dropped(stream, bytes, ends, &address).await });
        }
        let socket = server.admin_socket();
        let stream = UnixStream::connect(&socket).await.expect("the socket is open");
        dropped.spawn(async move { assert_dropped(stream, bytes, ends, &socket.display().to_string()).await });
    }
    while let Some(ended) = dropped.join_next().await {
        ended.expect("the server ends it");
    }
    assert_unharmed(&server, &["kept"]).await;
}

/// Sends `bytes` and no more, and says so only with `ends`; the server must end the connection.
async fn assert_dropped(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8], ends: bool, what: &str) {
    // The server may have enough of it before the end.
    let _ = stream.write_all(bytes).await;
    if ends {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(DROPPED_MAX, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "{what} keeps a connection that said {:?}", String::from_utf8_lossy(bytes));
}

#[tokio::test]
async fn an_oversized_message_is_refused_before_it_is_read() {
    let bench = Bench::new();
    let server = bench.server("server").await;
    create(&server, "kept").await;
    let mut large = entry("large");
    large.selectors[0].value.push_str(&"x".repeat(5 << 20));
    let error = server.admin().create_entry(large).await.expect_err("5 MiB");
    let status = error.downcast_ref::<tonic::Status>().expect("a status");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let text = "grpc: received message larger than max (52";
    assert!(status.message().starts_with(text) && status.message().ends_with(" vs. 4194304)"), "{status}");
    assert_unharmed(&server, &["kept"]).await;
}

/// The end of a call with `body`, which is framed already.
async fn call(server: &Server, path: &str, encoding: &str, body: Bytes) -> Status {
    let (channel, body) = (uds_channel(&server.admin_socket()), Body::new(Full::new(body)));
    raw_call(channel, path, &[("grpc-encoding", encoding)], body).await.expect("a status")
}

#[tokio::test]
async fn compressed_requests_are_served_and_what_is_missing_is_named() {
    let bench = Bench::new();
    let server = bench.server("server").await;
    let count = "/spire.api.server.entry.v1.Entry/CountEntries";
    // An empty message under gzip.
    let gzip = b"\x01\0\0\0\x14\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    let plain = &gzip[..0];
    let no_snappy = "grpc: Decompressor is not installed for grpc-encoding \"snappy\"";
    let cases = [
        (count, "gzip", &gzip[..], Code::Ok, ""),
        (count, "snappy", plain, Code::Unimplemented, no_snappy),
        (
            "/spire.api.server.entry.v1.Entry/Nope",
            "identity",
            plain,
            Code::Unimplemented,
            "unknown method Nope for service spire.api.server.entry.v1.Entry",
        ),
        ("/a.B/C", "identity", plain, Code::Unimplemented, "unknown service a.B"),
    ];
    for (path, encoding, body, code, text) in cases {
        let status = call(&server, path, encoding, Bytes::from_static(body)).await;
        assert_eq!((status.code(), status.message()), (code, text), "{path} {encoding}");
    }
}

#[tokio::test]
async fn slow_clients_keep_nobody_waiting() {
    let bench = Bench::new();
    let server = clustered(&bench).await;
    let mut slow = JoinSet::new();
    let (tell, mut dropped) = mpsc::unbounded_channel();
    let (start, mut started) = mpsc::channel(2 * SLOW);
    for number in 0..2 * SLOW {
        let address = if number < SLOW { server.api_address() } else { server.peer_address() };
        slow.spawn(slow_client(number, address, start.clone(), tell.clone()));
    }
    for _ in 0..2 * SLOW {
        started.recv().await.expect("each connects");
    }
    let mut waiting = Vec::new();
    for _ in 0..SLOW {
        waiting.push(UnixStream::connect(server.admin_socket()).await.expect("the socket is open"));
    }
    tokio::time::timeout(ANSWER_MAX, assert_unharmed(&server, &["kept"])).await.expect("the admin socket answers");
    let address = server.api_address();
    let handshake = tls(&address, None, H2);
    tokio::time::timeout(ANSWER_MAX, handshake).await.expect("the API port answers").expect("a handshake");
    let mut kept: BTreeSet<usize> = (0..2 * SLOW).collect();
    while !kept.is_empty() {
        let next = tokio::time::timeout(DROPPED_MAX, dropped.recv()).await;
        kept.remove(&next.expect("a client that never goes on is dropped").expect("they go on"));
    }
}

/// Connects, says nothing or only the beginning of a handshake, and does so again as soon as it is dropped: the server
/// is never without it.
async fn slow_client(number: usize, address: String, start: mpsc::Sender<()>, tell: mpsc::UnboundedSender<usize>) {
    loop {
        let mut stream = TcpStream::connect(&address).await.expect("the port is open");
        if number.is_multiple_of(2) {
            stream.write_all(&[0x16, 0x03, 0x01, 0x00, 0x80]).await.expect("five bytes");
        }
        // Told once; nobody listens afterwards.
        let _ = start.try_send(());
        // However it ends.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        if tell.send(number).is_err() {
            return;
        }
    }
}

/// More of each kind than the port has places for, all from one address.
#[tokio::test]
async fn a_crowd_at_the_peer_port_keeps_no_server_out() {
    let bench = Bench::new();
    let founder = clustered(&bench).await;
    let mut crowd = JoinSet::new();
    let (tell, mut there) = mpsc::unbounded_channel();
    for number in 0..CROWD {
        crowd.spawn(stand_around(number, founder.peer_address(), tell.clone()));
    }
    for _ in 0..CROWD {
        there.recv().await.expect("each connects");
    }
    let join = vec![founder.peer_address()];
    let role = ClusterRole { join, sealing_key_path: bench.scratch.join("cluster.key") };
    let mut second = bench.launch(&ServerSpec { cluster: Some(role), ..spec("second") });
    second.ready().await.expect("it joins");
    let before = founder.admin().status().await.expect("a status").applied_index;
    create(&second, "through-the-crowd").await;
    assert!(founder.admin().status().await.expect("a status").applied_index > before);
    assert!(there.try_recv().is_ok(), "the crowd is there all the time");
}

/// From another address than the servers'. Says nothing, half a handshake, or all of one without a certificate; and
/// comes back when it is dropped.
async fn stand_around(number: usize, address: String, tell: mpsc::UnboundedSender<usize>) {
    let address: SocketAddr = address.parse().expect("an address");
    while !tell.is_closed() {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.2:0".parse().expect("an address")).expect("all of 127/8 is this host");
        let Ok(mut stream) = socket.connect(address).await else { continue };
        if number.is_multiple_of(3) {
            stream.write_all(&[0x16, 0x03, 0x01, 0x00, 0x80]).await.expect("five bytes");
        }
        // However it ends.
        let stood = async {
            if number % 3 == 1 {
                let mut tls = over_tls(stream, None, H2).await?;
                let _ = tell.send(number);
                return tls.read_to_end(&mut Vec::new()).await;
            }
            let _ = tell.send(number);
            stream.read_to_end(&mut Vec::new()).await
        };
        let _ = stood.await;
        tokio::time::sleep(AWAY).await;
    }
}

#[tokio::test]
async fn a_spiffe_certificate_does_not_open_the_peer_port() {
    let bench = Bench::new();
    let server = clustered(&bench).await;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let request = MintX509svidRequest { csr: csr(&key, "spiffe://example.org/intruder"), ttl: 600 };
    let minted = server.admin().svids().mint_x509svid(request).await.expect("an SVID").into_inner();
    let chain = minted.svid.expect("an SVID").cert_chain;

    let identity = || Some((chain.clone(), key.serialize_der()));
    let mut api = tls(&server.api_address(), identity(), H2).await.expect("the API port takes it");
    api.write_all(b"x").await.expect("and goes on");
    // Not for another reason: who shows no certificate gets as far as a joiner.
    tls(&server.peer_address(), None, H2).await.expect("a handshake without a certificate");
    let refused = match tls(&server.peer_address(), identity(), H2).await {
        // In TLS 1.3 the client hears of it when it reads.
        Ok(mut stream) => stream.read(&mut [0; 64]).await.map(drop),
        Err(error) => Err(error),
    };
    let refused = refused.expect_err("the peer port does not").to_string();
    assert!(refused.contains("fatal alert"), "{refused}");
    assert_unharmed(&server, &["kept"]).await;
}

/// Names of servers are SPIFFE IDs: what a client calls the host, and whether it does, is nobody's business. A stock
/// server sees it like this too, where one is named.
#[tokio::test]
async fn any_name_is_shown_the_same_svid() {
    let bench = Bench::new();
    let mut servers = vec![bench.server("server").await];
    if let Some(stock) = Binaries::stock() {
        let mut server = Server::start(&stock, bench.scratch.path(), &spec("stock")).expect("the stock server starts");
        server.ready().await.expect("it becomes ready");
        servers.push(server);
    }
    for server in servers {
        let mut shown = BTreeSet::new();
        // The last one is an address, which is no name for TLS: nothing is sent.
        for name in ["server.test", "xn--nxasmq6b.test", "localhost", "127.0.0.1"] {
            let stream = TcpStream::connect(server.api_address()).await.expect("the port is open");
            let tls = tls_with(stream, name, None, H2).await.expect("a handshake");
            let chain = tls.get_ref().1.peer_certificates().expect("a chain");
            shown.insert(chain.iter().map(|der| der.to_vec()).collect::<Vec<_>>());
        }
        assert_eq!(shown.len(), 1, "{}", server.name());
    }
}

#[tokio::test]
async fn malformed_requests_have_their_codes_and_change_nothing() {
    let bench = Bench::new();
    let server = bench.server("server").await;
    create(&server, "kept").await;
    let admin = server.admin();
    let mint = async |csr: Vec<u8>| {
        let status = admin.svids().mint_x509svid(MintX509svidRequest { csr, ttl: 0 }).await.expect_err("a bad CSR");
        (status.code(), status.message().to_owned())
    };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let good = csr(&key, "spiffe://example.org/w");
    assert_eq!(mint(Vec::new()).await, (Code::InvalidArgument, "missing CSR".to_owned()));
    for (csr, reason) in [
        (b"not DER".to_vec(), "malformed CSR: "),
        (good[..good.len() - 1].to_vec(), "malformed CSR: "),
        (vec![0x30; 1 << 20], "malformed CSR: "),
        (changed_at_the_end(&good), "failed to verify CSR signature: "),
        (csr(&key, "spiffe://other.test/w"), "CSR URI SAN is invalid: "),
        (csr(&key, "https://example.org/w"), "CSR URI SAN is invalid: "),
    ] {
        let (code, message) = mint(csr).await;
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(message.starts_with(reason), "{message}");
    }

    let id = types::Spiffeid { trust_domain: "example.org".to_owned(), path: "/w".to_owned() };
    for (audience, reason) in [
        (Vec::new(), "at least one audience is required"),
        (vec!["x".repeat(1 << 20)], "the audience has more than 1000 members or 65536 bytes"),
        (vec!["x".to_owned(); 100_000], "the audience has more than 1000 members or 65536 bytes"),
    ] {
        let request = MintJwtsvidRequest { id: Some(id.clone()), audience, ttl: 0 };
        let status = admin.svids().mint_jwtsvid(request).await.expect_err(reason);
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, reason));
    }

    let page_token = "never given out".to_owned();
    let request = ListEntriesRequest { page_size: 10, page_token: page_token.clone(), ..Default::default() };
    let status = admin.entries().list_entries(request).await.expect_err("a bad token");
    // SPIRE's code for it.
    assert_eq!(status.code(), Code::Internal, "{status}");
    assert!(status.message().starts_with("failed to list entries: "), "{status}");
    let request = ListAgentsRequest { page_size: 10, page_token, ..Default::default() };
    let status = admin.agents().list_agents(request).await.expect_err("a bad token");
    assert!(status.message().starts_with("failed to list agents: "), "{status}");

    let mut bad = entry("bad");
    bad.spiffe_id = Some(types::Spiffeid { trust_domain: "example.org".to_owned(), path: "no slash".to_owned() });
    let refused = admin.create_entry(bad).await.expect_err("a bad path").to_string();
    assert!(refused.contains("failed to convert entry: invalid spiffe ID"), "{refused}");
    assert_unharmed(&server, &["kept"]).await;
}

pub fn csr(key: &KeyPair, uri: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("ASCII"))];
    params.serialize_request(key).expect("a request").der().to_vec()
}

/// The last byte is in the signature's second number, and the encoding stays valid.
fn changed_at_the_end(csr: &[u8]) -> Vec<u8> {
    let mut csr = csr.to_vec();
    if let Some(last) = csr.last_mut() {
        *last ^= 1;
    }
    csr
}

/// What gRPC speaks.
pub const H2: &[u8] = b"h2";

pub type Identity = (Vec<Vec<u8>>, Vec<u8>);

/// A handshake that believes every server, to find out what the server believes.
pub async fn tls(address: &str, identity: Option<Identity>, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
    over_tls(TcpStream::connect(address).await?, identity, protocol).await
}

async fn over_tls(stream: TcpStream, identity: Option<Identity>, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
    tls_with(stream, "server.test", identity, protocol).await
}

/// `name` goes out as SNI, if it is one.
async fn tls_with(
    stream: TcpStream,
    name: &'static str,
    identity: Option<Identity>,
    protocol: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("usual versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer));
    let mut config = match identity {
        Some((chain, key)) => {
            let chain = chain.into_iter().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::try_from(key).expect("PKCS#8");
            config.with_client_auth_cert(chain, key).expect("a certificate and its key")
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from(name).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
