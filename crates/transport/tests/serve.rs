//! Serving: connection age, drain, deadlines, limits; and dialling: fail-over and telling errors.

mod common;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Ca, Echo, Leaf, World, domain, loopback, soon};
use futures::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Empty, StreamBody};
use steeple_transport::client::{DialError, ServerDialer, is_unprocessed, server_channel, uds_channel};
use steeple_transport::serve::{Deadline, ServeLimits, serve};
use steeple_transport::tls::{AcceptLimits, KeyExchange, TlsAcceptor, TlsPeer, TrustRoots, VerifyError};
use steeple_transport::uds::{BindModes, PeerTracking, UdsAcceptor, UdsLimits, UdsListener, UdsPeer};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::{Service, ServiceExt, service_fn};

const QUICK: ServeLimits = ServeLimits {
    preface_timeout: Duration::from_secs(1),
    connection_age: None,
    connection_age_grace: Duration::from_secs(1),
    drain_spread: Duration::ZERO,
    drain_max: Duration::from_secs(1),
    ..ServeLimits::TCP
};

/// Holds a call open until it is told to answer.
#[derive(Clone)]
struct Held(Arc<tokio::sync::Semaphore>);

impl Service<Request<Body>> for Held {
    type Response = Response<Empty<Bytes>>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            let _open = gate.acquire().await;
            Ok(Response::builder().header("grpc-status", "0").body(Empty::new()).unwrap())
        })
    }
}

struct Running {
    sender: h2::client::SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    gate: Arc<tokio::sync::Semaphore>,
}

/// One client connection, over memory, to a service that answers when `gate` has permits.
async fn run(limits: ServeLimits) -> Running {
    let (near, far) = duplex(64 * 1024);
    let (offer, incoming) = mpsc::channel::<DuplexStream>(1);
    offer.send(far).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let service = Held(Arc::clone(&gate));
    let served = tokio::spawn(async move {
        serve(service, incoming, limits, async { drop(stopped.await) }).await;
        drop(offer);
    });
    let (sender, connection) = h2::client::handshake(near).await.unwrap();
    Running { sender: sender.ready().await.unwrap(), connection: tokio::spawn(connection), stop, served, gate }
}

impl Running {
    fn call(&mut self) -> h2::client::ResponseFuture {
        let request = Request::post("http://localhost/a.B/C").body(()).unwrap();
        self.sender.send_request(request, true).unwrap().0
    }
}

#[tokio::test(start_paused = true)]
async fn an_aged_connection_is_told_to_go_and_its_calls_finish() {
    let age = Duration::from_secs(180);
    let mut running = run(ServeLimits { connection_age: Some(age), ..QUICK }).await;
    let started = tokio::time::Instant::now();
    let call = running.call();
    // GOAWAY has arrived when no new call can be made.
    while running.sender.clone().ready().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let waited = started.elapsed().as_secs_f64();
    assert!((161.9..=198.2).contains(&waited), "a tenth either way of {age:?}: {waited}");
    running.gate.add_permits(1);
    assert_eq!(call.await.unwrap().status(), 200);
    running.connection.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlasts_the_grace_period_is_cut() {
    let age = Some(Duration::from_secs(10));
    let mut running = run(ServeLimits { connection_age: age, ..QUICK }).await;
    let call = running.call();
    assert!(call.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_calls_but_not_for_ever() {
    let mut polite = run(QUICK).await;
    let call = polite.call();
    tokio::task::yield_now().await;
    polite.stop.send(()).unwrap();
    polite.gate.add_permits(1);
    assert_eq!(call.await.unwrap().status(), 200);
    polite.served.await.unwrap();

    let mut stubborn = run(QUICK).await;
    let call = stubborn.call();
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    stubborn.stop.send(()).unwrap();
    stubborn.served.await.unwrap();
    assert!(started.elapsed() <= QUICK.drain_max * 2);
    assert!(call.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn streams_that_wait_end_as_unavailable_at_shutdown() {
    let (near, far) = duplex(64 * 1024);
    let (offer, incoming) = mpsc::channel::<DuplexStream>(1);
    offer.send(far).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    // One message, and then nothing for ever.
    let service = service_fn(|_: Request<Body>| async {
        let news = Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from_static(b"news")));
        let frames = futures::stream::iter([news]).chain(futures::stream::pending());
        Ok::<_, std::convert::Infallible>(Response::new(Body::new(StreamBody::new(frames))))
    });
    let served = tokio::spawn(serve(service, incoming, ServeLimits::UDS, async { drop(stopped.await) }));
    let (sender, connection) = h2::client::handshake(near).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://localhost/a.B/C").body(()).unwrap();
    let response = sender.ready().await.unwrap().send_request(request, true).unwrap().0.await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "news");

    let told_at = tokio::time::Instant::now();
    stop.send(()).unwrap();
    assert!(body.data().await.is_none());
    let trailers = body.trailers().await.unwrap().expect("a status");
    assert_eq!(trailers["grpc-status"], (Code::Unavailable as i32).to_string());
    served.await.unwrap();
    assert!(told_at.elapsed() < Duration::from_secs(1), "nobody was waited for: {:?}", told_at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_speaks_http2_is_dropped() {
    for first_bytes in [&b""[..], b"PRI * HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let (mut near, far) = duplex(1024);
        let (offer, incoming) = mpsc::channel::<DuplexStream>(1);
        offer.send(far).await.unwrap();
        let gate = Held(Arc::new(tokio::sync::Semaphore::new(0)));
        tokio::spawn(serve(gate, incoming, QUICK, std::future::pending()));
        tokio::io::AsyncWriteExt::write_all(&mut near, first_bytes).await.unwrap();
        assert_eq!(near.read(&mut [0; 16]).await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_within_a_request_is_dropped() {
    let (mut near, far) = duplex(1024);
    let (offer, incoming) = mpsc::channel::<DuplexStream>(1);
    offer.send(far).await.unwrap();
    let gate = Held(Arc::new(tokio::sync::Semaphore::new(0)));
    tokio::spawn(serve(gate, incoming, ServeLimits::UDS, std::future::pending()));
    // Preface, SETTINGS, and the first byte of a HEADERS frame of 32.
    let first = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x20\x01\x04\0\0\0\x01\x82";
    tokio::io::AsyncWriteExt::write_all(&mut near, first).await.unwrap();
    let limit = ServeLimits::UDS.keepalive_interval + ServeLimits::UDS.keepalive_timeout + Duration::from_secs(1);
    let ended = tokio::time::timeout(limit, near.read_to_end(&mut Vec::new())).await;
    ended.expect("the ping that nobody answers is the end").unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_clients_deadline_reaches_the_service_and_ends_the_call() {
    let (near, far) = duplex(64 * 1024);
    let (offer, incoming) = mpsc::channel::<DuplexStream>(1);
    offer.send(far).await.unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let service = service_fn(move |request: Request<Body>| {
        tell.send(request.extensions().get::<Deadline>().copied()).unwrap();
        std::future::pending::<Result<Response<Empty<Bytes>>, std::convert::Infallible>>()
    });
    tokio::spawn(serve(service, incoming, QUICK, std::future::pending()));
    let (sender, connection) = h2::client::handshake(near).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://localhost/a.B/C").header("grpc-timeout", "250m").body(()).unwrap();
    let response = sender.ready().await.unwrap().send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], (Code::DeadlineExceeded as i32).to_string());
    assert!(told.recv().unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn headers_beyond_the_limit_are_refused() {
    let mut running = run(QUICK).await;
    let huge = "x".repeat(20 * 1024);
    let request = Request::post("http://localhost/a.B/C").header("huge", huge).body(()).unwrap();
    let outcome = running.sender.send_request(request, true).unwrap().0.await;
    assert!(outcome.is_err() || outcome.unwrap().status() == 431);
}

/// A TLS server that says who called; returns its address.
async fn tls_server(world: &World) -> SocketAddr {
    tls_server_with(world, QUICK).await
}

async fn tls_server_with(world: &World, limits: ServeLimits) -> SocketAddr {
    let service = Echo(|request: &Request<Body>| {
        let peer = request.extensions().get::<TlsPeer>().unwrap();
        let authority = request.uri().authority().unwrap();
        let id = peer.spiffe_id().map(ToString::to_string).unwrap_or_default();
        format!("{authority} {id} {}", peer.remote_addr.port())
    });
    tls_server_of(world, limits, service).await
}

async fn tls_server_of<S>(world: &World, limits: ServeLimits, service: S) -> SocketAddr
where
    S: Service<Request<Body>, Response = Response<Empty<Bytes>>, Error = std::convert::Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::new(world.server_config(KeyExchange::Compatible), AcceptLimits::DEFAULT);
    let (sender, ready) = mpsc::channel(8);
    tokio::spawn(acceptor.run(listener, sender));
    tokio::spawn(serve(service, ready, limits, std::future::pending()));
    address
}

/// An address where nobody listens, and nobody else can while this lives.
struct Dead(TcpSocket);

impl Dead {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(loopback()).unwrap();
        Self(socket)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

async fn call(channel: &mut Channel) -> Result<Response<Body>, tonic::Status> {
    let request = Request::post("http://ignored/a.B/C").body(Body::empty()).unwrap();
    let outcome = async { channel.ready().await?.call(request).await };
    soon(outcome).await.map_err(|error: tonic::transport::Error| tonic::Status::from_error(Box::new(error)))
}

fn channel(dialer: &ServerDialer) -> Channel {
    server_channel(dialer.clone(), "server.test:8081".parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_call_reaches_the_replica_that_lives_within_one_attempt() {
    let world = World::new();
    let live = tls_server(&world).await;
    let svid = world.ca.issue(&Leaf::named("spiffe://example.org/spire/agent/a"));
    let tls = world.client_config(Some(&svid), KeyExchange::Compatible);
    for _ in 0..4 {
        let dead = [Dead::new(), Dead::new()];
        let targets = [dead[0].address(), live, dead[1].address()].map(|address| address.to_string());
        let dialer = ServerDialer::new(targets, Arc::clone(&tls));
        let response = call(&mut channel(&dialer)).await.unwrap();
        let seen = response.headers()["seen"].to_str().unwrap();
        assert!(seen.starts_with("server.test:8081 spiffe://example.org/spire/agent/a "), "{seen}");
        assert_eq!(dialer.current(), Some(live));
    }
}

#[tokio::test]
async fn the_next_dial_avoids_a_server_that_cannot_serve() {
    let world = World::new();
    let servers = [tls_server(&world).await, tls_server(&world).await];
    let tls = world.client_config(None, KeyExchange::Compatible);
    let dialer = ServerDialer::new(servers.map(|address| address.to_string()), tls);
    for _ in 0..4 {
        let before = soon(dialer.dial()).await.unwrap().get_ref().0.peer_addr().unwrap();
        dialer.avoid_current();
        let after = soon(dialer.dial()).await.unwrap().get_ref().0.peer_addr().unwrap();
        assert_ne!(before, after);
    }
}

/// Before an agent is attested it dials without a certificate, afterwards with one: a dead replica costs its time once.
#[tokio::test]
async fn what_one_way_of_dialling_learned_the_other_knows() {
    let world = World::new();
    let servers = [tls_server(&world).await, tls_server(&world).await];
    let tls = world.client_config(None, KeyExchange::Compatible);
    for _ in 0..4 {
        let dialer = ServerDialer::new(servers.map(|address| address.to_string()), Arc::clone(&tls));
        let first = soon(dialer.dial()).await.unwrap().get_ref().0.peer_addr().unwrap();
        dialer.avoid_current();
        let other = dialer.with_tls(Arc::clone(&tls));
        assert_eq!(other.current(), None);
        let second = soon(other.dial()).await.unwrap().get_ref().0.peer_addr().unwrap();
        assert_ne!(first, second);
    }
}

/// Calls go on over new connections; one that meets the end of an old connection may be repeated.
#[tokio::test]
async fn a_channel_survives_the_age_of_its_connections() {
    let world = World::new();
    let limits = ServeLimits {
        connection_age: Some(Duration::from_millis(40)),
        connection_age_grace: Duration::from_secs(60),
        ..QUICK
    };
    let server = tls_server_with(&world, limits).await;
    let dialer = ServerDialer::new([server.to_string()], world.client_config(None, KeyExchange::Compatible));
    let mut channel = channel(&dialer);
    let mut connections = std::collections::HashSet::new();
    while connections.len() < 3 {
        match call(&mut channel).await {
            Ok(response) => _ = connections.insert(response.headers()["seen"].clone()),
            Err(status) => assert!(is_unprocessed(&status), "{status:?}"),
        }
    }
}

/// An address from which TCP passes to `server` until the sender says that it hangs: connections stay, nothing passes.
async fn hanging_relay(server: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (hang, hangs) = watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut hangs = hangs.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    () = async { drop(hangs.wait_for(|hangs| *hangs).await) } => std::future::pending().await,
                }
            });
        }
    });
    (address, hang)
}

#[tokio::test]
async fn a_server_that_hangs_fails_the_calls_that_wait_for_it() {
    let world = World::new();
    let (called, mut calls) = mpsc::unbounded_channel();
    let service = service_fn(move |_: Request<Body>| {
        called.send(()).unwrap();
        std::future::pending()
    });
    let server = tls_server_of(&world, ServeLimits::TCP, service).await;
    let (address, hang) = hanging_relay(server).await;
    let dialer = ServerDialer::new([address.to_string()], world.client_config(None, KeyExchange::Compatible));
    let mut channel = channel(&dialer);
    let (status, ()) = tokio::join!(call(&mut channel), async {
        soon(calls.recv()).await.unwrap();
        hang.send(true).unwrap();
    });
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn an_unknown_authority_is_found_under_the_status() {
    let world = World::new();
    let server = tls_server(&world).await;
    let strangers = TrustRoots::empty().with(domain("example.org"), &[&Ca::new("example.org").der]).unwrap();
    world.roots.store(Arc::new(strangers));
    let tls = world.client_config(None, KeyExchange::Compatible);
    // A dead replica beside it must not hide the cause, whichever is tried first.
    let dead = Dead::new();
    for _ in 0..8 {
        let targets = [server, dead.address()].map(|address| address.to_string());
        let status = call(&mut channel(&ServerDialer::new(targets, Arc::clone(&tls)))).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(is_unprocessed(&status));
        assert_eq!(VerifyError::find(&status), Some(&VerifyError::UnknownAuthority(domain("example.org"))));
    }
}

#[tokio::test]
async fn dial_errors_say_what_was_tried() {
    let world = World::new();
    let tls = world.client_config(None, KeyExchange::Compatible);
    let dead = [Dead::new(), Dead::new()];
    let targets = dead.each_ref().map(|dead| dead.address().to_string());
    let error = soon(ServerDialer::new(targets, Arc::clone(&tls)).dial()).await.unwrap_err();
    assert!(matches!(error, DialError::Failed { tried: 2, .. }), "{error}");
    let error = soon(ServerDialer::new(["no port".to_owned()], Arc::clone(&tls)).dial()).await.unwrap_err();
    assert!(matches!(&error, DialError::Resolve { target, .. } if target == "no port"), "{error}");
    let error = soon(ServerDialer::new([], tls).dial()).await.unwrap_err();
    assert!(matches!(error, DialError::NoAddress { .. }), "{error}");
}

#[tokio::test]
async fn a_local_channel_reaches_a_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let status = call(&mut uds_channel(&path)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);

    let listener = UdsListener::bind(&path, BindModes::PRIVATE).unwrap();
    let (sender, ready) = mpsc::channel(8);
    let acceptor = UdsAcceptor { tracking: PeerTracking::CredentialsOnly, limits: UdsLimits::DEFAULT };
    tokio::spawn(acceptor.run(listener, sender));
    let service = Echo(|request: &Request<Body>| request.extensions().get::<UdsPeer>().unwrap().uid.to_string());
    tokio::spawn(serve(service, ready, ServeLimits::UDS, std::future::pending()));
    let response = call(&mut uds_channel(&path)).await.unwrap();
    assert_eq!(response.headers()["seen"], nix::unistd::getuid().to_string());
}
