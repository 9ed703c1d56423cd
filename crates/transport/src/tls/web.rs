//! Servers by the rules of the web: a host name, vouched for by the roots that the operating system trusts.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{Error, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::VerifyError;
use super::verifier::typed;
use super::verify::spiffe_id;

/// As Go verifies: the chain up to a root, dates, and the host name. A server that shows an X.509-SVID instead is named
/// as such, because then the profile is the wrong one.
pub struct WebVerifier {
    inner: Arc<WebPkiServerVerifier>,
}

/// There is nothing to verify with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this machine has no usable root certificates: install its CA certificates, or name them with SSL_CERT_FILE or \
     SSL_CERT_DIR{}", detail(.found)
)]
pub struct WebRootsError {
    found: Vec<String>,
}

impl WebVerifier {
    /// With the roots of the operating system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR` as Go understands them. Reads
    /// files.
    pub fn with_system_roots() -> Result<Arc<Self>, WebRootsError> {
        let loaded = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // One bad file among hundreds is no reason to trust none.
        roots.add_parsable_certificates(loaded.certs);
        Self::new(roots).ok_or_else(|| WebRootsError { found: loaded.errors.iter().map(ToString::to_string).collect() })
    }

    /// With these roots and no others, each one DER certificate.
    pub fn with_roots(roots: &[Vec<u8>]) -> Result<Arc<Self>, WebRootsError> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned().map(CertificateDer::from));
        Self::new(store).ok_or(WebRootsError { found: Vec::new() })
    }

    /// `None` without a root.
    fn new(roots: RootCertStore) -> Option<Arc<Self>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
        Some(Arc::new(Self { inner }))
    }
}

/// Clients have to show a certificate that one of these roots vouches for, each one DER certificate.
pub fn web_clients(roots: &[Vec<u8>]) -> Result<Arc<dyn ClientCertVerifier>, WebRootsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned().map(CertificateDer::from));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider).build();
    verifier.map_err(|error| WebRootsError { found: vec![error.to_string()] })
}

impl ServerCertVerifier for WebVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| {
            let Ok((_, leaf)) = X509Certificate::from_der(end_entity) else { return error };
            match spiffe_id(&leaf) {
                Ok(id) => typed(VerifyError::WebRefusesSvid { id, reason: error.to_string() }),
                Err(_) => error,
            }
        })
    }

    crate::verify_handshake_signatures!();
}

impl fmt::Debug for WebVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebVerifier")
    }
}

fn detail(found: &[String]) -> String {
    found.iter().map(|reason| format!("; {reason}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn the_host_name_and_the_root_decide() {
        let authority = || {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params.self_signed(&key).unwrap().der().to_vec(), Issuer::new(params, key))
        };
        let ((root, issuer), (other_root, _)) = (authority(), authority());
        let params = CertificateParams::new(["a.test".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let verify = |root: &[u8], name: &'static str| {
            let verifier = WebVerifier::with_roots(&[root.to_vec()]).unwrap();
            verifier.verify_server_cert(leaf.der(), &[], &name.try_into().unwrap(), &[], now).is_ok()
        };
        assert!(verify(&root, "a.test") && verify(&root, "127.0.0.1"));
        assert!(!verify(&root, "b.test") && !verify(&root, "127.0.0.2") && !verify(&other_root, "a.test"));
        assert!(WebVerifier::with_roots(&[]).is_err() && WebVerifier::with_roots(&[vec![1, 2]]).is_err());
    }
}
