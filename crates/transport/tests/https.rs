//! Documents over HTTPS: what is served, what is fetched, and what neither side puts up with.

mod common;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use common::{Ca, World, clock, domain, id, soon};
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use rcgen::{CertificateParams, KeyPair};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use steeple_transport::client::{HttpsError, https_get};
use steeple_transport::serve::serve_https;
use steeple_transport::tls::{
    AcceptLimits, CertFiles, CertFilesError, HttpsListener, KeyExchange, ServerIdVerifier, TlsAcceptor, TrustRoots,
    VerifyError, WebVerifier, https_client_config, https_server_config,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsConnector;
use tower::service_fn;

const DOCUMENT: &str = "{\"keys\": []}";

/// Serves until it is dropped.
struct Site {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Site {
    async fn start(identity: Arc<dyn rustls::server::ResolvesServerCert>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = https_server_config(identity, KeyExchange::Compatible, clock()).unwrap();
        let (accepted, incoming) = mpsc::channel(8);
        let limits = AcceptLimits { handshake_timeout: Duration::from_secs(1), ..AcceptLimits::DEFAULT };
        tokio::spawn(TlsAcceptor::new(tls, limits).run(HttpsListener(listener), accepted));
        let (stop, stopped) = oneshot::channel::<()>();
        let service = service_fn(|request: Request<_>| async move { Ok::<_, Infallible>(answer(&request)) });
        tokio::spawn(serve_https(service, incoming, async { stopped.await.unwrap_or_default() }));
        Self { address, _stop: stop }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }
}

fn answer<B>(request: &Request<B>) -> Response<Full<Bytes>> {
    let redirect = |to: &str| Response::builder().status(307).header(header::LOCATION, to).body(Full::default());
    let response = match request.uri().path() {
        "/" => Response::builder().body(Full::from(DOCUMENT)),
        "/moved" => redirect("/"),
        "/loop" => redirect("/loop"),
        "/plain" => redirect("http://127.0.0.1/"),
        "/large" => Response::builder().body(Full::from(vec![b' '; 200])),
        "/host" => Response::builder().body(Full::from(request.headers()[header::HOST].as_bytes().to_vec())),
        _ => Response::builder().status(404).body(Full::from(vec![b'x'; 5000])),
    };
    response.unwrap()
}

fn tls(verifier: Arc<dyn ServerCertVerifier>) -> Arc<ClientConfig> {
    https_client_config(verifier, clock()).unwrap()
}

fn trusting(world: &World) -> Arc<ClientConfig> {
    tls(ServerIdVerifier::new(Arc::clone(&world.roots), id("spiffe://example.org/spire/server")))
}

#[tokio::test]
async fn a_document_is_fetched_from_whom_the_spiffe_id_names() {
    let world = World::new();
    let site = Site::start(Arc::clone(&world.server) as _).await;
    let get = async |path: &str| soon(https_get(&site.url(path), &trusting(&world), 100)).await;

    let reply = get("/").await.unwrap();
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, DOCUMENT.as_bytes()));
    assert_eq!(get("/moved").await.unwrap().body, reply.body);
    assert_eq!(get("/host").await.unwrap().body, site.address.to_string());
    // Of a page that is no answer only the beginning is read.
    let missing = get("/none").await.unwrap();
    assert_eq!((missing.status, missing.body.len()), (StatusCode::NOT_FOUND, 1024));

    let other = tls(ServerIdVerifier::new(Arc::clone(&world.roots), id("spiffe://example.org/other")));
    let error = soon(https_get(&site.url("/"), &other, 100)).await.unwrap_err();
    assert!(matches!(VerifyError::find(&error), Some(VerifyError::UnexpectedId { .. })), "{error}");
    let stranger = TrustRoots::empty().with(domain("example.org"), &[Ca::new("other").der]).unwrap().into_shared();
    let unknown = tls(ServerIdVerifier::new(stranger, id("spiffe://example.org/spire/server")));
    let error = soon(https_get(&site.url("/"), &unknown, 100)).await.unwrap_err();
    assert!(matches!(VerifyError::find(&error), Some(VerifyError::UnknownAuthority(_))), "{error}");
}

#[tokio::test]
async fn answers_that_are_too_large_or_lead_elsewhere_are_refused() {
    let world = World::new();
    let site = Site::start(Arc::clone(&world.server) as _).await;
    let get = async |path: &str| soon(https_get(&site.url(path), &trusting(&world), 100)).await.unwrap_err();
    assert!(matches!(get("/large").await, HttpsError::TooLarge { bytes_max: 100 }));
    assert!(matches!(get("/loop").await, HttpsError::TooManyRedirects));
    assert!(matches!(get("/plain").await, HttpsError::BadRedirect { .. }));
    let error = https_get("http://127.0.0.1/", &trusting(&world), 100).await.unwrap_err();
    assert!(matches!(error, HttpsError::BadUrl { .. }));
}

#[tokio::test]
async fn plain_http_is_told_so_and_silence_is_dropped() {
    let world = World::new();
    let site = Site::start(Arc::clone(&world.server) as _).await;
    let mut silent = TcpStream::connect(site.address).await.unwrap();
    let mut plain = TcpStream::connect(site.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut said = String::new();
    // The connection may be reset behind the answer, because the request was not read.
    let _ = soon(plain.read_to_string(&mut said)).await;
    assert!(said.starts_with("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS"), "{said:?}");
    assert_eq!(soon(silent.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn http2_is_preferred_and_no_client_certificate_is_asked_for() {
    let world = World::new();
    let site = Site::start(Arc::clone(&world.server) as _).await;
    let mut config = (*trusting(&world)).clone();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(site.address).await.unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri(site.url("/")).body(()).unwrap();
    let (response, _) = sender.send_request(request, true).unwrap();
    let mut body = soon(response).await.unwrap().into_body();
    assert_eq!(soon(body.data()).await.unwrap().unwrap(), DOCUMENT);
}

// === Certificate files ===

struct Files {
    dir: TempDir,
    written: u64,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), written: 0 }
    }

    fn certificate(&self) -> PathBuf {
        self.dir.path().join("tls.crt")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("tls.key")
    }

    fn write(&mut self, certificate: &str, key: &str) {
        std::fs::write(self.certificate(), certificate).unwrap();
        std::fs::write(self.key(), key).unwrap();
        self.touch(&self.certificate());
        self.touch(&self.key());
        self.written += 1;
    }

    /// Two writes within one tick of the file system's clock would look like one.
    fn touch(&self, path: &Path) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + self.written);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
    }
}

/// A certificate for `localhost`, and its key.
fn pem(ca: &Ca) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.signed_by(&key, &ca.issuer).unwrap().pem(), key.serialize_pem())
}

/// The certificate that the site shows, accepted by the rules of the web.
async fn shown(site: &Site, ca: &Ca) -> Vec<u8> {
    let config = tls(WebVerifier::with_roots(std::slice::from_ref(&ca.der)).unwrap());
    let tcp = TcpStream::connect(site.address).await.unwrap();
    let stream = TlsConnector::from(config).connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn certificate_files_are_read_again_when_they_change_and_kept_when_they_are_bad() {
    let (mut on_disk, ca) = (Files::new(), Ca::new("web"));
    let (first, key) = pem(&ca);
    on_disk.write(&first, &key);
    let files = CertFiles::load(&on_disk.certificate(), &on_disk.key()).unwrap();
    let site = Site::start(Arc::clone(&files) as _).await;
    let before = shown(&site, &ca).await;
    assert!(!files.sync().unwrap(), "nothing was written");

    let (second, second_key) = pem(&ca);
    on_disk.write(&second, &key);
    assert!(matches!(files.sync(), Err(CertFilesError::KeyMismatch { .. })));
    assert_eq!(shown(&site, &ca).await, before);
    on_disk.write(&second, &second_key);
    assert!(files.sync().unwrap());
    assert_ne!(shown(&site, &ca).await, before);

    let after = shown(&site, &ca).await;
    std::fs::remove_file(on_disk.key()).unwrap();
    assert!(matches!(files.sync(), Err(CertFilesError::Io { .. })));
    assert_eq!(shown(&site, &ca).await, after);
}

#[test]
fn certificate_files_that_cannot_be_used_are_named() {
    let (mut on_disk, ca) = (Files::new(), Ca::new("web"));
    let load = |on_disk: &Files| CertFiles::load(&on_disk.certificate(), &on_disk.key()).unwrap_err();
    let (certificate, key) = pem(&ca);
    let path = on_disk.certificate().display().to_string();
    assert!(load(&on_disk).to_string().starts_with(&format!("open {path}: ")));
    on_disk.write("nothing", &key);
    assert!(matches!(load(&on_disk), CertFilesError::NoCertificate(_)));
    on_disk.write("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", &key);
    assert!(matches!(load(&on_disk), CertFilesError::Pem { what: "certificates", .. }));
    on_disk.write(&certificate.repeat(17), &key);
    assert!(matches!(load(&on_disk), CertFilesError::TooManyCertificates(_)));
    on_disk.write(&certificate, &certificate);
    assert!(matches!(load(&on_disk), CertFilesError::Pem { what: "a private key", .. }));
    on_disk.write(&" ".repeat(2 << 20), &key);
    assert!(matches!(load(&on_disk), CertFilesError::TooLarge(_)));
    on_disk.write(&certificate, &key);
    CertFiles::load(&on_disk.certificate(), &on_disk.key()).unwrap();
}

#[tokio::test]
async fn an_svid_is_no_certificate_of_the_web() {
    let world = World::new();
    let site = Site::start(Arc::clone(&world.server) as _).await;
    let web = tls(WebVerifier::with_roots(std::slice::from_ref(&world.ca.der)).unwrap());
    let refused = soon(https_get(&site.url("/"), &web, 100)).await.unwrap_err();
    let Some(VerifyError::WebRefusesSvid { id, .. }) = VerifyError::find(&refused) else { panic!("{refused}") };
    assert_eq!(id.as_str(), "spiffe://example.org/spire/server");
}
