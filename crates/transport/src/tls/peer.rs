//! What a TLS connection knows of its peer, parsed once when the handshake is done.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use steeple_core::{SpiffeId, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;

use super::VerifyError;
use super::verify::uri_sans;

/// The connect info of a TLS connection; every request carries it in its extensions.
#[derive(Clone, Debug)]
pub struct TlsPeer {
    pub remote_addr: SocketAddr,
    /// `None`: the client sent no certificate.
    pub identity: Option<Arc<PeerIdentity>>,
}

/// A client certificate that passed the handshake. Whether it is still valid *now* is for each request to ask.
#[derive(Clone, Debug)]
pub struct PeerIdentity {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Of the leaf, in decimal as SPIRE compares serials.
    pub serial: String,
    /// An error only where the handshake's verifier does not insist on a SPIFFE ID.
    pub spiffe_id: Result<SpiffeId, PeerIdError>,
    /// Of the leaf.
    pub not_after: Timestamp,
    /// Of the leaf: names the authority that signed it. Empty when it does not say.
    pub authority_key_id: Vec<u8>,
}

/// SPIRE's texts for status `Unauthenticated`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerIdError {
    #[error("client certificate has a malformed URI SAN: {0}")]
    Malformed(String),
    #[error("client certificate has no URI SAN")]
    NoUri,
    #[error("client certificate has more than one URI SAN")]
    SeveralUris,
}

impl TlsPeer {
    /// `chain` is what the client sent, empty when it sent nothing.
    pub fn new(remote_addr: SocketAddr, chain: &[CertificateDer<'_>]) -> Result<Self, VerifyError> {
        let identity = match chain.first() {
            Some(leaf) => Some(Arc::new(PeerIdentity::parse(leaf, chain)?)),
            None => None,
        };
        Ok(Self { remote_addr, identity })
    }

    /// The SPIFFE ID, where the client has one.
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        self.identity.as_deref()?.spiffe_id.as_ref().ok()
    }
}

impl PeerIdentity {
    fn parse(leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> Result<Self, VerifyError> {
        let (_, certificate) = X509Certificate::from_der(leaf)
            .map_err(|error| VerifyError::Malformed { index: 0, reason: error.to_string() })?;
        let uris = uri_sans(&certificate)?;
        let spiffe_id = match uris.as_slice() {
            [] => Err(PeerIdError::NoUri),
            [uri] => SpiffeId::parse(uri).map_err(|error| PeerIdError::Malformed(error.to_string())),
            _ => Err(PeerIdError::SeveralUris),
        };
        Ok(Self {
            serial: certificate.serial.to_string(),
            spiffe_id,
            not_after: Timestamp::from_secs(certificate.validity().not_after.timestamp()),
            authority_key_id: authority_key_id(&certificate),
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
        })
    }
}

fn authority_key_id(certificate: &X509Certificate<'_>) -> Vec<u8> {
    let found = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
        _ => None,
    });
    found.map_or_else(Vec::new, |id| id.0.to_vec())
}
