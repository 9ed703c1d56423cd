//! A small PKI, a clock that stands still, and a service that echoes.

#![allow(dead_code)] // every test file uses a part

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Empty;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber,
};
use rustls::{ClientConfig, ServerConfig};
use steeple_core::{Clock, Secret, SpiffeId, Timestamp, TrustDomain};
use steeple_transport::tls::{
    ClientIdVerifier, Identity, IdentitySink, IdentityStore, KeyExchange, ServerIdVerifier, SharedRoots, TrustRoots,
    Usage, client_config, server_config,
};
use time::OffsetDateTime;

/// 2026-01-01, when every test takes place.
pub const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

pub struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(StoppedClock)
}

pub fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

pub fn domain(name: &str) -> TrustDomain {
    TrustDomain::from_name(name).unwrap()
}

/// A certificate authority of one trust domain.
pub struct Ca {
    pub der: Vec<u8>,
    pub issuer: Issuer<'static, KeyPair>,
}

/// A leaf as it should be; tests spoil one property.
#[derive(Clone)]
pub struct Leaf {
    pub uris: Vec<&'static str>,
    pub not_before: i64,
    pub not_after: i64,
    pub ca: bool,
    pub key_usages: Vec<KeyUsagePurpose>,
    pub extended_key_usages: Vec<ExtendedKeyUsagePurpose>,
    pub serial: Vec<u8>,
}

impl Leaf {
    pub fn named(uri: &'static str) -> Self {
        Self {
            uris: vec![uri],
            not_before: -10,
            not_after: 3600,
            ca: false,
            key_usages: vec![KeyUsagePurpose::DigitalSignature],
            extended_key_usages: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            serial: vec![1, 0, 0, 0, 0, 0, 0, 0, 0],
        }
    }
}

impl Ca {
    pub fn new(common_name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = ca_params(common_name);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    pub fn intermediate(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, leaf: &Leaf) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, "SPIRE");
        params.subject_alt_names = leaf.uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.not_before = at(leaf.not_before);
        params.not_after = at(leaf.not_after);
        params.is_ca = if leaf.ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.key_usages = leaf.key_usages.clone();
        params.extended_key_usages = leaf.extended_key_usages.clone();
        params.serial_number = Some(SerialNumber::from_slice(&leaf.serial));
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Identity { chain: vec![der], key: Secret::new(key.serialize_der()).into() }
    }
}

pub fn ca_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = at(-86_400);
    params.not_after = at(86_400);
    params
}

/// `seconds` after [`NOW`].
pub fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(NOW.as_secs() + seconds).unwrap()
}

/// Trust domain `example.org` with its server: everything that a handshake needs on both sides.
pub struct World {
    pub ca: Ca,
    pub roots: SharedRoots,
    pub server: Arc<IdentityStore>,
}

impl World {
    pub fn new() -> Self {
        let ca = Ca::new("example.org");
        let roots = TrustRoots::empty().with(domain("example.org"), &[&ca.der]).unwrap().into_shared();
        let server = IdentityStore::new(Arc::clone(&roots), Arc::new(|_| true), Usage::Server, clock());
        server.publish(&ca.issue(&Leaf::named("spiffe://example.org/spire/server"))).unwrap();
        Self { ca, roots, server }
    }

    /// Own trust domain only.
    pub fn server_config(&self, key_exchange: KeyExchange) -> Arc<ServerConfig> {
        let own = domain("example.org");
        let verifier = ClientIdVerifier::new(Arc::clone(&self.roots), Arc::new(move |id| id.is_member_of(&own)));
        server_config(Arc::clone(&self.server) as _, verifier, key_exchange, clock()).unwrap()
    }

    /// Presents `identity` unchecked, as a stranger would.
    pub fn client_config(&self, identity: Option<&Identity>, key_exchange: KeyExchange) -> Arc<ClientConfig> {
        let verifier = ServerIdVerifier::new(Arc::clone(&self.roots), id("spiffe://example.org/spire/server"));
        let identity = identity.map(|identity| Arc::new(Presented(certified(identity))) as _);
        client_config(verifier, identity, key_exchange, clock()).unwrap()
    }
}

#[derive(Debug)]
struct Presented(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Presented {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

pub fn certified(identity: &Identity) -> Arc<rustls::sign::CertifiedKey> {
    let key = identity.key.duplicate().into_secret().expect("kept here");
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(key.expose());
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key.into()).unwrap();
    let chain = identity.chain.iter().cloned().map(Into::into).collect();
    Arc::new(rustls::sign::CertifiedKey::new(chain, key))
}

/// Answers every call with OK and no message, and says in headers what the server saw.
#[derive(Clone)]
pub struct Echo<F>(pub F);

impl<F> tower::Service<Request<tonic::body::Body>> for Echo<F>
where
    F: Fn(&Request<tonic::body::Body>) -> String,
{
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let seen = HeaderValue::from_str(&(self.0)(&request)).unwrap();
        let response = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "0")
            .header("seen", seen)
            .body(Empty::new())
            .unwrap();
        ready(Ok(response))
    }
}

pub fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Fails a test that would hang.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("took longer than 60 s")
}
