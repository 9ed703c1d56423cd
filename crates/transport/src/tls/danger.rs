//! The verifiers that trust without a root: for options that say so by their names, and where something else proves the
//! server.

use std::fmt;
use std::sync::Arc;

use rustls::Error;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use steeple_core::SpiffeId;

use super::verifier::{expect_id, join, typed};
use super::verify::{check_shape, spiffe_id};

/// Accepts any chain whose leaf names the expected SPIFFE ID, whoever signed it and whatever its dates.
/// An attacker on the path can pretend to be the server: SPIRE behaviour under `insecure_bootstrap`.
pub struct UnverifiedServerId {
    expected: SpiffeId,
}

impl UnverifiedServerId {
    pub fn new(expected: SpiffeId) -> Arc<Self> {
        Arc::new(Self { expected })
    }
}

/// Accepts whoever answers, for `skip_kubelet_verification`, and for joiners, to whom the server proves itself later.
/// Until then an attacker on the path can pretend to be the server.
#[derive(Debug)]
pub struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    crate::verify_handshake_signatures!();
}

impl ServerCertVerifier for UnverifiedServerId {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = join(end_entity, intermediates);
        let id = check_shape(&chain).and_then(|leaf| spiffe_id(&leaf)).map_err(typed)?;
        expect_id(id, &self.expected).map_err(typed)?;
        Ok(ServerCertVerified::assertion())
    }

    crate::verify_handshake_signatures!();
}

impl fmt::Debug for UnverifiedServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedServerId({})", self.expected)
    }
}
