//! What clients of all kinds are shown, over real connections.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use steeple_acme::WebCertificates;
use steeple_core::SystemClock;
use steeple_transport::tls::{
    ACME_TLS, AcceptLimits, HttpsListener, KeyExchange, TlsAcceptor, TlsConnection, acme_server_config,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const DOMAIN: &str = "bundle.one.test";
const DIGEST: [u8; 32] = [7; 32];
const H2: &[u8] = b"h2";
const HTTP: &[u8] = b"http/1.1";

struct Bench {
    address: String,
    shown: Arc<WebCertificates>,
    digest: Arc<Mutex<Option<[u8; 32]>>>,
    /// Connections that are to be served.
    ready: mpsc::Receiver<TlsConnection<TcpStream>>,
}

impl Bench {
    async fn start() -> Self {
        let digest: Arc<Mutex<Option<[u8; 32]>>> = Arc::default();
        let asked = Arc::clone(&digest);
        let shown = WebCertificates::new(move |domain| (*asked.lock()).filter(|_| domain == DOMAIN));
        let identity = Arc::clone(&shown);
        let config = acme_server_config(identity, KeyExchange::Compatible, Arc::new(SystemClock)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (accepted, ready) = mpsc::channel(4);
        tokio::spawn(TlsAcceptor::new(config, AcceptLimits::DEFAULT).run(HttpsListener(listener), accepted));
        Self { address, shown, digest, ready }
    }

    async fn connect(&self, name: &'static str, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(&self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream).await
    }
}

fn leaf(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn certificate(domain: &str) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![domain.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().der().to_vec(), key)
}

#[tokio::test]
async fn an_acme_server_sees_the_challenge_and_nobody_else_does() {
    let mut bench = Bench::start().await;
    bench.connect(DOMAIN, &[ACME_TLS]).await.expect_err("no proof is going on");
    bench.connect(DOMAIN, &[HTTP]).await.expect_err("there is no certificate yet");

    *bench.digest.lock() = Some(DIGEST);
    let mut asked = bench.connect(DOMAIN, &[ACME_TLS]).await.unwrap();
    assert_eq!(asked.get_ref().1.alpn_protocol(), Some(ACME_TLS));
    assert!(leaf(&asked).windows(32).any(|window| window == DIGEST));
    // A handshake is all: nothing is served, and the connection ends.
    let end = tokio::time::timeout(Duration::from_secs(60), asked.read_u8()).await.expect("it ends");
    end.expect_err("nothing is said");
    bench.connect("other.test", &[ACME_TLS]).await.expect_err("another name");
    bench.connect("127.0.0.1", &[ACME_TLS]).await.expect_err("no name");

    // Whoever speaks HTTP sees the certificate, also while the next proof is going on.
    bench.connect(DOMAIN, &[HTTP]).await.expect_err("there is still no certificate");
    let (der, key) = certificate(DOMAIN);
    let pkcs8 = || PrivatePkcs8KeyDer::from(key.serialized_der()).into();
    bench.shown.show(DOMAIN, std::slice::from_ref(&der), pkcs8()).unwrap();
    let mut served = 0;
    for protocols in [&[HTTP][..], &[H2, HTTP], &[HTTP, ACME_TLS], &[]] {
        let stream = bench.connect(DOMAIN, protocols).await.unwrap();
        assert_eq!(leaf(&stream), der, "{protocols:?}");
        assert!(bench.ready.recv().await.is_some());
        served += 1;
    }
    bench.connect("other.test", &[HTTP]).await.expect_err("another name");
    bench.connect("127.0.0.1", &[HTTP]).await.expect_err("no name");
    assert_eq!((served, bench.ready.try_recv().is_err()), (4, true), "the proofs are not to be served");
}

#[tokio::test]
async fn what_does_not_fit_together_is_not_shown() {
    let bench = Bench::start().await;
    let ((der, _), (other, other_key)) = (certificate(DOMAIN), certificate("other.test"));
    let pkcs8 = || PrivatePkcs8KeyDer::from(other_key.serialized_der()).into();
    for (chain, why) in [
        (vec![der], "the key of the certificate for bundle.one.test cannot be used"),
        (vec![other], "the certificate for bundle.one.test is for another name"),
        (vec![vec![1, 2, 3]], "the certificate for bundle.one.test cannot be read"),
        (vec![], "the certificate for bundle.one.test cannot be read"),
    ] {
        let error = bench.shown.show(DOMAIN, &chain, pkcs8()).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }
    bench.connect(DOMAIN, &[HTTP]).await.expect_err("nothing is shown");
}

/// As an ACME server, which knows the extension of the challenge; rustls refuses what is critical and unknown to it.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
