//! What this replica shows to peers and whom it believes: its certificate and the peer CA, both replaceable while
//! running.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::rand::SystemRandom;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, TrustAnchor};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};
use steeple_ca::SigningKey;
use steeple_core::{Clock, Secret, Timestamp};
use steeple_transport::tls::danger::AnyServer;
use steeple_transport::tls::{KeyExchange, client_config, server_config};

use super::authority::{AuthorityError, CERTIFICATE_LIFETIME, PeerAuthority};
use super::verifier::{PeerClientVerifier, PeerRoots, PeerServerVerifier};
use super::{JoinAnswer, PeerError, PeerId};

/// Shared by the listener and every dialled connection.
#[derive(Clone)]
pub struct PeerCredentials {
    id: PeerId,
    roots: PeerRoots,
    shown: Arc<Shown>,
    clock: Arc<dyn Clock>,
}

/// The current certificate with its key, as rustls asks for it on either side.
struct Shown {
    current: ArcSwapOption<CertifiedKey>,
    /// While there is no current one: enough to answer peers, and not to call them.
    answering: ArcSwapOption<CertifiedKey>,
}

/// A certificate with its private key, both DER; the key is PKCS#8.
pub struct CertifiedPeerKey {
    pub certificate: Vec<u8>,
    pub key: Secret,
}

impl PeerCredentials {
    /// Shows nothing and trusts nobody yet.
    pub fn new(id: PeerId, clock: Arc<dyn Clock>) -> Self {
        let shown = Arc::new(Shown { current: ArcSwapOption::empty(), answering: ArcSwapOption::empty() });
        Self { id, roots: PeerRoots::default(), shown, clock }
    }

    pub fn id(&self) -> &PeerId {
        &self.id
    }

    /// Trusts exactly these certificates (DER) from now on.
    pub fn trust(&self, ca_certificates: &[Vec<u8>]) -> Result<(), PeerError> {
        let anchor = |der: &Vec<u8>| -> Result<TrustAnchor<'static>, PeerError> {
            let der = CertificateDer::from(der.as_slice());
            let anchor = webpki::anchor_from_trusted_cert(&der);
            Ok(anchor.map_err(|error| AuthorityError::Malformed(error.to_string()))?.to_owned())
        };
        let anchors = ca_certificates.iter().map(anchor).collect::<Result<Vec<_>, _>>()?;
        self.roots.store(Arc::new(anchors));
        Ok(())
    }

    /// Trusts and shows what a member answered to a join.
    pub fn accept(&self, answer: &JoinAnswer) -> Result<(), PeerError> {
        self.trust(&answer.ca_certificates)?;
        self.show(&answer.certified)
    }

    fn show(&self, certified: &CertifiedPeerKey) -> Result<(), PeerError> {
        self.shown.current.store(Some(Arc::new(certified.to_rustls()?)));
        Ok(())
    }

    /// Makes a new key and certifies it with the CA of the own state. Returns when to do it again.
    pub fn renew(&self, authority: &PeerAuthority) -> Result<Timestamp, PeerError> {
        let now = self.clock.now();
        let (key, public_key) = new_key()?;
        let certificate = authority.issue(&self.id, &public_key, now, &SystemRandom::new())?;
        self.show(&CertifiedPeerKey { certificate, key })?;
        Ok(now.saturating_add(CERTIFICATE_LIFETIME / 2))
    }

    /// What [`Self::answer_only`] takes, to be kept until this replica starts without its sealing key.
    pub fn certify_answering(&self, authority: &PeerAuthority) -> Result<CertifiedPeerKey, PeerError> {
        let (key, public_key) = new_key()?;
        let now = self.clock.now();
        let certificate = authority.issue_to_answer(&self.id, &public_key, now, &SystemRandom::new())?;
        Ok(CertifiedPeerKey { certificate, key })
    }

    /// Until the first [`Self::renew`]: peers are answered, and none is called.
    pub fn answer_only(&self, certified: &CertifiedPeerKey) -> Result<(), PeerError> {
        self.shown.answering.store(Some(Arc::new(certified.to_rustls()?)));
        Ok(())
    }

    /// Whether a call to a peer would be turned away there.
    pub(super) fn only_answers(&self) -> bool {
        self.shown.current.load().is_none() && self.shown.answering.load().is_some()
    }

    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, PeerError> {
        let verifier = Arc::new(PeerClientVerifier { roots: Arc::clone(&self.roots) });
        let shown: Arc<dyn ResolvesServerCert> = self.shown.clone();
        // TLS 1.3 only: the exporter that joins are bound to is unique per connection there.
        Ok(server_config(shown, verifier, KeyExchange::PostQuantumOnly, Arc::clone(&self.clock))?)
    }

    pub(super) fn client_config(&self, expected: PeerId) -> Result<Arc<ClientConfig>, PeerError> {
        let verifier = Arc::new(PeerServerVerifier { roots: Arc::clone(&self.roots), expected });
        let shown: Arc<dyn ResolvesClientCert> = self.shown.clone();
        Ok(client_config(verifier, Some(shown), KeyExchange::PostQuantumOnly, Arc::clone(&self.clock))?)
    }
}

impl CertifiedPeerKey {
    fn to_rustls(&self) -> Result<CertifiedKey, rustls::Error> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.expose()));
        let key = provider::sign::any_supported_type(&key)?;
        let chain = vec![CertificateDer::from(self.certificate.clone())];
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match()?;
        Ok(certified)
    }
}

/// With its public half (PKIX DER).
fn new_key() -> Result<(Secret, Vec<u8>), AuthorityError> {
    let key = steeple_ca::generate_pkcs8(steeple_core::KeyType::EcP256)?;
    let public_key = SigningKey::from_pkcs8(&key)?.public_key().spki().to_vec();
    Ok((key, public_key))
}

/// For a joiner, which has no certificate of its own and knows no CA yet. The handshake's signature is checked; *who*
/// signs is settled by the proofs over the TLS exporter, which a man in the middle cannot give.
pub(super) fn joiner_client_config(clock: Arc<dyn Clock>) -> Result<Arc<ClientConfig>, PeerError> {
    Ok(client_config(Arc::new(AnyServer), None, KeyExchange::PostQuantumOnly, clock)?)
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load_full().or_else(|| self.answering.load_full())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current.load_full()
    }

    fn has_certs(&self) -> bool {
        self.current.load().is_some()
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown")
    }
}
