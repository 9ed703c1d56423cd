//! Servers that are known by who vouches for them alone, whatever name they are reached under.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::aws_lc_rs;
use rustls::server::ParsedCertificate;
use rustls::{Error, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// The chain up to one of these roots and the dates; no host name. For a server at the loopback address of a machine,
/// whose certificate names the machine (SPIRE's rule for a kubelet without `node_name`).
pub struct ChainVerifier {
    roots: RootCertStore,
}

impl ChainVerifier {
    /// Each root is one DER certificate; `None` without a usable one.
    pub fn with_roots(roots: &[Vec<u8>]) -> Option<Arc<Self>> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned().map(CertificateDer::from));
        (!store.is_empty()).then(|| Arc::new(Self { roots: store }))
    }
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&leaf, &self.roots, intermediates, now, algorithms.all)?;
        Ok(ServerCertVerified::assertion())
    }

    crate::verify_handshake_signatures!();
}

impl fmt::Debug for ChainVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainVerifier")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn the_root_and_the_dates_decide_and_the_name_does_not() {
        let authority = || {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params.self_signed(&key).unwrap().der().to_vec(), Issuer::new(params, key))
        };
        let ((root, issuer), (other_root, _)) = (authority(), authority());
        let params = CertificateParams::new(["node-1".to_owned()]).unwrap();
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let verify = |root: &[u8], at_secs: u64| {
            let verifier = ChainVerifier::with_roots(&[root.to_vec()]).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(at_secs));
            verifier.verify_server_cert(leaf.der(), &[], &"127.0.0.1".try_into().unwrap(), &[], now).is_ok()
        };
        assert!(verify(&root, 1_800_000_000));
        assert!(!verify(&other_root, 1_800_000_000));
        // rcgen's certificates are valid from 1975 to 4096.
        assert!(!verify(&root, 1));
        assert!(ChainVerifier::with_roots(&[]).is_none() && ChainVerifier::with_roots(&[vec![1, 2]]).is_none());
    }
}
