//! TLS between peers: chains end in the peer CA, and the one URI name must be of this cluster.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error};
use steeple_transport::tls::signature_algorithms;
use webpki::{EndEntityCert, KeyUsage};

use super::PeerId;

/// The trusted certificates of the peer CA, replaced when it rotates.
pub(super) type PeerRoots = Arc<ArcSwap<Vec<TrustAnchor<'static>>>>;

/// Server side. A certificate is optional, because a joiner has none; one that is shown must be good.
#[derive(Debug)]
pub(super) struct PeerClientVerifier {
    pub(super) roots: PeerRoots,
}

/// Client side. The certificate must name exactly the peer that was dialled.
#[derive(Debug)]
pub(super) struct PeerServerVerifier {
    pub(super) roots: PeerRoots,
    pub(super) expected: PeerId,
}

impl ClientCertVerifier for PeerClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        verify(&self.roots.load(), end_entity, intermediates, now, KeyUsage::client_auth())?;
        peer_id(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    steeple_transport::verify_handshake_signatures!();
}

impl ServerCertVerifier for PeerServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify(&self.roots.load(), end_entity, intermediates, now, KeyUsage::server_auth())?;
        if peer_id(end_entity)? != self.expected {
            // An address that another node took over, or a node on an empty disk.
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        Ok(ServerCertVerified::assertion())
    }

    steeple_transport::verify_handshake_signatures!();
}

/// The peer's name. Only after the chain has been verified does it mean anything.
pub(super) fn peer_id(certificate: &CertificateDer<'_>) -> Result<PeerId, Error> {
    let certificate = EndEntityCert::try_from(certificate).map_err(|_| bad_encoding())?;
    let mut uris = certificate.valid_uri_names();
    match (uris.next(), uris.next()) {
        (Some(uri), None) => {
            PeerId::parse(uri).map_err(|_| Error::InvalidCertificate(CertificateError::NotValidForName))
        }
        _ => Err(Error::InvalidCertificate(CertificateError::NotValidForName)),
    }
}

fn verify(
    roots: &[TrustAnchor<'static>],
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    usage: KeyUsage,
) -> Result<(), Error> {
    let certificate = EndEntityCert::try_from(end_entity).map_err(|_| bad_encoding())?;
    let verified =
        certificate.verify_for_usage(signature_algorithms().all, roots, intermediates, now, usage, None, None);
    verified.map(drop).map_err(|error| match error {
        webpki::Error::UnknownIssuer => Error::InvalidCertificate(CertificateError::UnknownIssuer),
        // All authorities of peers have one name, so that one of another cluster is found, and does not fit.
        webpki::Error::InvalidSignatureForPublicKey => Error::General(OTHER_CLUSTER.to_owned()),
        webpki::Error::CertExpired { .. } => Error::InvalidCertificate(CertificateError::Expired),
        webpki::Error::CertNotValidYet { .. } => Error::InvalidCertificate(CertificateError::NotValidYet),
        other => Error::General(format!("peer certificate: {other}")),
    })
}

const OTHER_CLUSTER: &str = "peer certificate: it is of another cluster, or of the one that this became by a recovery \
                             or a restore; a replica of the old one needs an empty data directory to join";

fn bad_encoding() -> Error {
    Error::InvalidCertificate(CertificateError::BadEncoding)
}

#[cfg(test)]
mod tests {
    use ::aws_lc_rs::rand::SystemRandom;
    use steeple_ca::SigningKey;
    use steeple_ca::seal::{Keyring, SealedKeyring, SealingKey};
    use steeple_core::{Clock, KeyType, SystemClock};

    use super::*;
    use crate::peer::PeerCaContent;

    const CLUSTER: [u8; 16] = [1; 16];
    const ID: PeerId = PeerId { cluster_uuid: CLUSTER, node_id: 2, storage_uuid: [3; 16] };

    fn keyring() -> Keyring {
        let random = SystemRandom::new();
        let key = SealingKey::generate(&random).expect("randomness");
        SealedKeyring::create(&key, &CLUSTER, &random)
            .and_then(|sealed| sealed.open(&key, &CLUSTER))
            .expect("a keyring")
    }

    /// A CA's roots and a certificate that it issued for `id`.
    fn issued(id: &PeerId) -> (PeerRoots, CertificateDer<'static>) {
        let (random, keyring, now) = (SystemRandom::new(), keyring(), SystemClock.now());
        let content = PeerCaContent::create(&keyring, now, &random).expect("a CA");
        let content = PeerCaContent::decode(&content.encode()).expect("what was encoded");
        let authority = content.open(&keyring).expect("the key");
        let key = SigningKey::generate(KeyType::EcP256).expect("a key");
        let certificate = authority.issue(id, key.public_key().spki(), now, &random).expect("a certificate");
        let root = CertificateDer::from(content.certificates().remove(0));
        let anchor = webpki::anchor_from_trusted_cert(&root).expect("a root").to_owned();
        (Arc::new(ArcSwap::from_pointee(vec![anchor])), CertificateDer::from(certificate))
    }

    fn server_accepts(roots: PeerRoots, expected: PeerId, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let name = ServerName::try_from("any.name").expect("a name");
        let verifier = PeerServerVerifier { roots, expected };
        verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).map(drop)
    }

    #[test]
    fn a_peer_is_who_its_certificate_says() {
        let (roots, certificate) = issued(&ID);
        assert_eq!(peer_id(&certificate), Ok(ID));
        assert_eq!(server_accepts(Arc::clone(&roots), ID, &certificate), Ok(()));
        let clients = PeerClientVerifier { roots };
        assert!(clients.verify_client_cert(&certificate, &[], UnixTime::now()).is_ok());
    }

    #[test]
    fn who_only_answers_is_taken_for_a_server_and_for_no_client() {
        let (random, keyring, now) = (SystemRandom::new(), keyring(), SystemClock.now());
        let content = PeerCaContent::create(&keyring, now, &random).expect("a CA");
        let authority = content.open(&keyring).expect("the key");
        let key = SigningKey::generate(KeyType::EcP256).expect("a key");
        let certificate = authority.issue_to_answer(&ID, key.public_key().spki(), now, &random).expect("a certificate");
        let (root, certificate) = (content.certificates().remove(0).into(), CertificateDer::from(certificate));
        let anchor = webpki::anchor_from_trusted_cert(&root).expect("a root").to_owned();
        let roots = Arc::new(ArcSwap::from_pointee(vec![anchor]));
        assert_eq!(server_accepts(Arc::clone(&roots), ID, &certificate), Ok(()));
        assert!(PeerClientVerifier { roots }.verify_client_cert(&certificate, &[], UnixTime::now()).is_err());
    }

    #[test]
    fn another_node_disk_or_cluster_is_not_the_one_that_was_dialled() {
        let wrong = Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        for expected in [
            PeerId { node_id: 3, ..ID },
            PeerId { storage_uuid: [4; 16], ..ID },
            PeerId { cluster_uuid: [5; 16], ..ID },
        ] {
            let (roots, certificate) = issued(&ID);
            assert_eq!(server_accepts(roots, expected, &certificate), wrong, "{expected}");
        }
    }

    #[test]
    fn a_foreign_ca_is_refused_on_both_sides() {
        let (roots, _) = issued(&ID);
        let (_, foreign) = issued(&ID);
        assert!(server_accepts(Arc::clone(&roots), ID, &foreign).is_err());
        assert!(PeerClientVerifier { roots }.verify_client_cert(&foreign, &[], UnixTime::now()).is_err());
    }
}
