//! Real TLS over real sockets.

mod common;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{Ca, Leaf, World, clock, domain, id, loopback, soon};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use rustls_pki_types::ServerName;
use steeple_transport::tls::danger::UnverifiedServerId;
use steeple_transport::tls::{
    AcceptLimits, IdentitySink, KeyExchange, ServerIdVerifier, TlsAcceptor, TlsConnection, VerifyError, client_config,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const AGENT: &str = "spiffe://example.org/spire/agent/join_token/a";

struct Server {
    address: SocketAddr,
    acceptor: Arc<TlsAcceptor>,
    ready: mpsc::Receiver<TlsConnection<TcpStream>>,
}

impl Server {
    async fn start(world: &World) -> Self {
        Self::with(world, KeyExchange::Compatible, AcceptLimits::DEFAULT).await
    }

    async fn with(world: &World, key_exchange: KeyExchange, limits: AcceptLimits) -> Self {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::new(world.server_config(key_exchange), limits);
        let (sender, ready) = mpsc::channel(8);
        tokio::spawn(Arc::clone(&acceptor).run(listener, sender));
        Self { address, acceptor, ready }
    }

    async fn accepted(&mut self) -> TlsConnection<TcpStream> {
        soon(self.ready.recv()).await.unwrap()
    }
}

async fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    soon(TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from("server.test").unwrap(), tcp)).await
}

/// In TLS 1.3 a client learns only by reading that its certificate was refused.
async fn refusal(address: SocketAddr, config: &Arc<ClientConfig>) -> rustls::Error {
    let error = match connect(address, config).await {
        Err(error) => error,
        Ok(mut stream) => soon(stream.read_u8()).await.unwrap_err(),
    };
    error.downcast::<rustls::Error>().unwrap()
}

#[tokio::test]
async fn a_client_of_tls_1_1_hears_that_it_is_the_version() {
    let world = World::new();
    let server = Server::start(&world).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    // The beginning of a ClientHello of TLS 1.1, and a client that waits for an answer.
    tcp.write_all(&[22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2, 7, 7, 7]).await.unwrap();
    let mut answer = Vec::new();
    soon(tcp.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, [21, 3, 1, 0, 2, 2, 70]);
}

fn tls12(
    config: &Arc<ClientConfig>,
    world: &World,
    identity: Option<&steeple_transport::tls::Identity>,
) -> Arc<ClientConfig> {
    let verifier = ServerIdVerifier::new(Arc::clone(&world.roots), id("spiffe://example.org/spire/server"));
    let builder = ClientConfig::builder_with_details(Arc::clone(config.crypto_provider()), Arc::new(AtNow))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(common::certified(identity)))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct AtNow;

impl rustls::time_provider::TimeProvider for AtNow {
    fn current_time(&self) -> Option<rustls_pki_types::UnixTime> {
        Some(rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(common::NOW.as_secs() as u64)))
    }
}

#[tokio::test]
async fn a_client_without_certificate_is_let_in_as_nobody() {
    let world = World::new();
    let mut server = Server::start(&world).await;
    let client = connect(server.address, &world.client_config(None, KeyExchange::Compatible)).await.unwrap();
    assert_eq!(client.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(client.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert!(server.accepted().await.peer().identity.is_none());
}

#[tokio::test]
async fn a_client_certificate_is_parsed_once_and_told() {
    let world = World::new();
    let mut server = Server::start(&world).await;
    let svid = world.ca.issue(&Leaf::named(AGENT));
    let client = connect(server.address, &world.client_config(Some(&svid), KeyExchange::Compatible)).await.unwrap();
    let accepted = server.accepted().await;
    let peer = accepted.peer();
    let identity = peer.identity.as_deref().unwrap();
    assert_eq!(peer.spiffe_id(), Some(&id(AGENT)));
    assert_eq!(identity.serial, (1_u128 << 64).to_string());
    assert_eq!(identity.not_after.as_secs(), common::NOW.as_secs() + 3600);
    assert_eq!(identity.chain[0].as_ref(), svid.chain[0]);
    assert_eq!(peer.remote_addr, client.get_ref().0.local_addr().unwrap());
}

#[tokio::test]
async fn tls_1_2_works_with_and_without_a_client_certificate() {
    let world = World::new();
    let mut server = Server::start(&world).await;
    let svid = world.ca.issue(&Leaf::named(AGENT));
    let base = world.client_config(None, KeyExchange::Compatible);
    for (identity, expected) in [(None, None), (Some(&svid), Some(id(AGENT)))] {
        let client = connect(server.address, &tls12(&base, &world, identity)).await.unwrap();
        assert_eq!(client.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
        assert_eq!(server.accepted().await.peer().spiffe_id(), expected.as_ref());
    }
}

#[tokio::test]
async fn bad_client_certificates_fail_the_handshake_with_a_telling_alert() {
    use rustls::AlertDescription::{AccessDenied, CertificateExpired, CertificateUnknown, UnknownCA};
    let world = World::new();
    let foreign = Ca::new("foreign.org");
    let federated = federated_roots(&world, &foreign);
    world.roots.store(Arc::new(federated));
    let server = Server::start(&world).await;
    let good = Leaf::named(AGENT);
    let cases = [
        ("foreign trust domain", foreign.issue(&Leaf::named("spiffe://foreign.org/web")), AccessDenied),
        ("unknown trust domain", foreign.issue(&Leaf::named("spiffe://nowhere.org/web")), UnknownCA),
        ("forged by a federated CA", foreign.issue(&good), UnknownCA),
        ("expired", world.ca.issue(&Leaf { not_before: -9, not_after: -1, ..good.clone() }), CertificateExpired),
        ("not yet valid", world.ca.issue(&Leaf { not_before: 9, ..good.clone() }), CertificateExpired),
        ("no URI", world.ca.issue(&Leaf { uris: vec![], ..good.clone() }), CertificateUnknown),
        (
            "second URI",
            world.ca.issue(&Leaf { uris: vec![AGENT, "spiffe://example.org/b"], ..good.clone() }),
            CertificateUnknown,
        ),
        ("CA as leaf", world.ca.issue(&Leaf { ca: true, ..good.clone() }), CertificateUnknown),
    ];
    for (case, identity, alert) in cases {
        let error = refusal(server.address, &world.client_config(Some(&identity), KeyExchange::Compatible)).await;
        assert_eq!(error, rustls::Error::AlertReceived(alert), "{case}");
    }
    // The last task gives its place back just after the alert has left.
    soon(async {
        while server.acceptor.open_connections() != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn federated_roots(world: &World, foreign: &Ca) -> steeple_transport::tls::TrustRoots {
    steeple_transport::tls::TrustRoots::clone(&world.roots.load()).with(domain("foreign.org"), &[&foreign.der]).unwrap()
}

#[tokio::test]
async fn a_client_knows_why_it_refused_the_server() {
    let world = World::new();
    let server = Server::start(&world).await;
    let dial = async |verifier| {
        let config = client_config(verifier, None, KeyExchange::Compatible, clock()).unwrap();
        let error = connect(server.address, &config).await.unwrap_err();
        VerifyError::find(&error).cloned()
    };
    let expected = id("spiffe://example.org/spire/server");

    let strangers = steeple_transport::tls::TrustRoots::empty()
        .with(domain("example.org"), &[&Ca::new("example.org").der])
        .unwrap()
        .into_shared();
    let unknown = dial(ServerIdVerifier::new(strangers, expected.clone())).await;
    assert_eq!(unknown, Some(VerifyError::UnknownAuthority(domain("example.org"))));

    let other = id("spiffe://example.org/other");
    let error = dial(ServerIdVerifier::new(Arc::clone(&world.roots), other.clone())).await;
    assert_eq!(error, Some(VerifyError::UnexpectedId { got: expected, expected: other.clone() }));

    let config = client_config(UnverifiedServerId::new(other), None, KeyExchange::Compatible, clock()).unwrap();
    let error = connect(server.address, &config).await.unwrap_err();
    assert!(matches!(VerifyError::find(&error), Some(VerifyError::UnexpectedId { .. })), "even insecurely");
}

#[tokio::test]
async fn insecure_bootstrap_checks_the_uri_only() {
    let world = World::new();
    let server = Server::start(&world).await;
    let verifier = UnverifiedServerId::new(id("spiffe://example.org/spire/server"));
    let config = client_config(verifier, None, KeyExchange::Compatible, clock()).unwrap();
    connect(server.address, &config).await.unwrap();
}

#[tokio::test]
async fn a_published_identity_and_new_roots_count_from_the_next_handshake_on() {
    let world = World::new();
    let mut server = Server::start(&world).await;
    let config = world.client_config(None, KeyExchange::Compatible);
    let leaf_of = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let before = connect(server.address, &config).await.unwrap();
    let mut accepted = server.accepted().await;

    let rotated = world.ca.issue(&Leaf::named("spiffe://example.org/spire/server"));
    world.server.publish(&rotated).unwrap();
    let after = connect(server.address, &config).await.unwrap();
    assert_ne!(leaf_of(&before), leaf_of(&after));
    assert_eq!(leaf_of(&after), rotated.chain[0]);

    let (mut before, mut byte) = (before, [0]);
    before.write_all(b"x").await.unwrap();
    before.flush().await.unwrap();
    soon(accepted.read_exact(&mut byte)).await.unwrap();
    assert_eq!(&byte, b"x", "an established connection goes on");
}

#[tokio::test]
async fn sessions_are_never_resumed() {
    let world = World::new();
    let mut server = Server::start(&world).await;
    let base = world.client_config(None, KeyExchange::Compatible);
    let mut willing = ClientConfig::clone(&base);
    willing.resumption = rustls::client::Resumption::in_memory_sessions(8);
    for config in [Arc::new(willing), tls12(&base, &world, None)] {
        for _ in 0..2 {
            let mut client = connect(server.address, &config).await.unwrap();
            let mut accepted = server.accepted().await;
            // A round trip, so that a ticket would have arrived.
            accepted.write_all(b"x").await.unwrap();
            accepted.flush().await.unwrap();
            soon(client.read_u8()).await.unwrap();
            assert_eq!(client.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(client.get_ref().1.tls13_tickets_received(), 0);
        }
    }
}

#[tokio::test]
async fn a_foreign_application_protocol_is_refused() {
    let world = World::new();
    let server = Server::start(&world).await;
    let mut config = ClientConfig::clone(&world.client_config(None, KeyExchange::Compatible));
    config.alpn_protocols = vec![b"gopher".to_vec()];
    let error = refusal(server.address, &Arc::new(config)).await;
    assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol));
}

#[tokio::test]
async fn post_quantum_only_refuses_classical_key_exchange_and_tls_1_2() {
    let world = World::new();
    let mut server = Server::with(&world, KeyExchange::PostQuantumOnly, AcceptLimits::DEFAULT).await;
    let hybrid = world.client_config(None, KeyExchange::PostQuantumOnly);
    let client = connect(server.address, &hybrid).await.unwrap();
    let group = client.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    server.accepted().await;

    assert!(connect(server.address, &tls12(&hybrid, &world, None)).await.is_err());
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let classical = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(UnverifiedServerId::new(id("spiffe://example.org/spire/server")))
        .with_no_client_auth();
    assert!(connect(server.address, &Arc::new(classical)).await.is_err());
}

#[tokio::test]
async fn a_silent_peer_is_dropped_at_the_timeout_and_blocks_nobody() {
    let world = World::new();
    // Time enough for a handshake on a busy machine: only one that does not go on is cut.
    let limits = AcceptLimits { handshakes_max: 2, ..AcceptLimits::DEFAULT };
    let mut server = Server::with(&world, KeyExchange::Compatible, limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    connect(server.address, &world.client_config(None, KeyExchange::Compatible)).await.unwrap();
    server.accepted().await;
    assert_eq!(soon(silent.read(&mut [0; 16])).await.unwrap(), 0, "closed by the server");
}

#[tokio::test]
async fn garbage_and_oversized_handshakes_are_refused_at_once() {
    let world = World::new();
    let server = Server::start(&world).await;
    // A handshake message that claims 16 MiB, in well-formed records of 16 KiB.
    let mut oversized = vec![0x01, 0xff, 0xff, 0xff];
    oversized.resize(16 * 1024, 0);
    let record = [&[0x16, 0x03, 0x01, 0x40, 0x00][..], &oversized].concat();
    for bytes in [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), record.repeat(8)] {
        let mut client = TcpStream::connect(server.address).await.unwrap();
        let _ = client.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = soon(client.read_to_end(&mut answer)).await;
        assert!(answer.len() < 16, "an alert at most: {answer:?}");
    }
}

#[tokio::test]
async fn connections_of_one_address_are_capped_and_places_come_back() {
    let world = World::new();
    let limits = AcceptLimits { connections_per_ip_max: 2, ..AcceptLimits::DEFAULT };
    let mut server = Server::with(&world, KeyExchange::Compatible, limits).await;
    let config = world.client_config(None, KeyExchange::Compatible);
    let first = connect(server.address, &config).await.unwrap();
    let first_accepted = server.accepted().await;
    let _second = connect(server.address, &config).await.unwrap();
    let _second_accepted = server.accepted().await;
    assert!(connect(server.address, &config).await.is_err());
    drop((first, first_accepted));
    connect(server.address, &config).await.unwrap();
}

#[tokio::test]
async fn the_accept_loop_ends_with_its_receiver() {
    let world = World::new();
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let acceptor = TlsAcceptor::new(world.server_config(KeyExchange::Compatible), AcceptLimits::DEFAULT);
    let (sender, ready) = mpsc::channel(1);
    let running = tokio::spawn(acceptor.run(listener, sender));
    drop(ready);
    soon(running).await.unwrap();
}
