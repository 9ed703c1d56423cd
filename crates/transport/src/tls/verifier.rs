//! The two rustls verifiers: thin adapters from a handshake to [`verify_chain`].

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use steeple_core::{SpiffeId, Timestamp};

use super::{SharedRoots, Usage, VerifyError, verify_chain};
use crate::causes::causes;

/// Which SPIFFE IDs may connect, asked after the chain verified.
pub type IdPolicy = Arc<dyn Fn(&SpiffeId) -> bool + Send + Sync>;

/// Agent side: the server must present exactly one SPIFFE ID. Host names play no part.
pub struct ServerIdVerifier {
    roots: SharedRoots,
    expected: SpiffeId,
}

/// Server side: a client certificate that is sent must verify and be permitted.
pub struct ClientIdVerifier {
    roots: SharedRoots,
    permits: IdPolicy,
    required: bool,
}

impl ServerIdVerifier {
    pub fn new(roots: SharedRoots, expected: SpiffeId) -> Arc<Self> {
        Arc::new(Self { roots, expected })
    }
}

impl ClientIdVerifier {
    /// A certificate is requested, not required. SPIRE's policy is "own trust domain, or an exact admin ID"; `permits`
    /// decides.
    pub fn new(roots: SharedRoots, permits: IdPolicy) -> Arc<Self> {
        Arc::new(Self { roots, permits, required: false })
    }

    /// Nobody without a certificate is let in.
    pub fn required(roots: SharedRoots, permits: IdPolicy) -> Arc<Self> {
        Arc::new(Self { roots, permits, required: true })
    }
}

impl ServerCertVerifier for ServerIdVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let id = verify_chain(&join(end_entity, intermediates), &self.roots.load(), timestamp(now), Usage::Server)
            .map_err(typed)?;
        expect_id(id, &self.expected).map_err(typed)?;
        Ok(ServerCertVerified::assertion())
    }

    crate::verify_handshake_signatures!();
}

impl ClientCertVerifier for ClientIdVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    /// None: with an empty list a client sends whatever certificate it has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let id = verify_chain(&join(end_entity, intermediates), &self.roots.load(), timestamp(now), Usage::Client)
            .map_err(with_alert)?;
        if !(self.permits)(&id) {
            return Err(with_alert(VerifyError::NotPermitted(id)));
        }
        Ok(ClientCertVerified::assertion())
    }

    crate::verify_handshake_signatures!();
}

impl VerifyError {
    /// The verification error somewhere below `error`, if that is what made a call or a dial fail. It looks through
    /// tonic, hyper and I/O errors, so that an agent can tell "unknown authority" from "unreachable".
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|cause| match cause.downcast_ref() {
            Some(Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))) => inner.downcast_ref(),
            _ => cause.downcast_ref(),
        })
    }
}

impl fmt::Debug for ServerIdVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerIdVerifier({})", self.expected)
    }
}

impl fmt::Debug for ClientIdVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdVerifier")
    }
}

pub(super) fn expect_id(got: SpiffeId, expected: &SpiffeId) -> Result<(), VerifyError> {
    if got == *expected { Ok(()) } else { Err(VerifyError::UnexpectedId { got, expected: expected.clone() }) }
}

/// Keeps the whole error for our own side; the peer sees the alert `certificate_unknown`.
pub(super) fn typed(error: VerifyError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Prefers the alert that tells a remote client what is wrong with its certificate.
fn with_alert(error: VerifyError) -> Error {
    match error {
        VerifyError::Expired { .. } => CertificateError::Expired.into(),
        VerifyError::NotPermitted(_) => CertificateError::ApplicationVerificationFailure.into(),
        VerifyError::NotYetValid { .. } => CertificateError::NotValidYet.into(),
        VerifyError::UnknownAuthority(_) | VerifyError::UnknownTrustDomain(_) => CertificateError::UnknownIssuer.into(),
        other => typed(other),
    }
}

pub(super) fn join<'a>(leaf: &CertificateDer<'a>, intermediates: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
    std::iter::once(leaf.clone()).chain(intermediates.iter().cloned()).collect()
}

pub(super) fn timestamp(now: UnixTime) -> Timestamp {
    Timestamp::from_secs(i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}
