//! rustls configurations with everything named that SPIRE's peers depend on: versions, ALPN, no resumption, our clock.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Error, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::UnixTime;
use steeple_core::Clock;

use super::verify::unix_time;

/// Which key exchanges are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyExchange {
    /// TLS 1.2 and 1.3, a post-quantum hybrid preferred where the peer has it.
    #[default]
    Compatible,
    /// `require_pq_kem`: TLS 1.3 with an ML-KEM hybrid or nothing.
    PostQuantumOnly,
}

/// For the acceptor. Client certificates are handled as `verifier` says.
///
/// Resumption is off in both protocol versions: a resumed session would skip the check against the current bundle.
pub fn server_config(
    identity: Arc<dyn ResolvesServerCert>,
    verifier: Arc<dyn ClientCertVerifier>,
    key_exchange: KeyExchange,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ServerConfig>, Error> {
    Ok(Arc::new(server_base(identity, verifier, key_exchange, clock)?))
}

/// For HTTPS listeners that ask for no client certificate, such as a bundle endpoint: HTTP/2 and HTTP/1.1.
pub fn https_server_config(
    identity: Arc<dyn ResolvesServerCert>,
    key_exchange: KeyExchange,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ServerConfig>, Error> {
    https_server_config_for(WebPkiClientVerifier::no_client_auth(), identity, key_exchange, clock)
}

/// As [`https_server_config`], for a listener whose name an ACME server may want to see proved: `identity` answers it
/// when a client asks for [`ACME_TLS`].
pub fn acme_server_config(
    identity: Arc<dyn ResolvesServerCert>,
    key_exchange: KeyExchange,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = server_base(identity, WebPkiClientVerifier::no_client_auth(), key_exchange, clock)?;
    config.alpn_protocols.extend([HTTP1.to_vec(), ACME_TLS.to_vec()]);
    Ok(Arc::new(config))
}

/// For HTTPS listeners that serve only whom `verifier` admits.
pub fn https_server_config_for(
    verifier: Arc<dyn ClientCertVerifier>,
    identity: Arc<dyn ResolvesServerCert>,
    key_exchange: KeyExchange,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = server_base(identity, verifier, key_exchange, clock)?;
    config.alpn_protocols.push(HTTP1.to_vec());
    Ok(Arc::new(config))
}

fn server_base(
    identity: Arc<dyn ResolvesServerCert>,
    verifier: Arc<dyn ClientCertVerifier>,
    key_exchange: KeyExchange,
    clock: Arc<dyn Clock>,
) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_details(key_exchange.provider(), Arc::new(RustlsClock(clock)))
        .with_protocol_versions(key_exchange.versions())?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity);
    config.alpn_protocols = alpn_h2();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// For dialling. Without `identity` no client certificate is offered.
pub fn client_config(
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    key_exchange: KeyExchange,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, Error> {
    Ok(Arc::new(client_base(verifier, identity, key_exchange, clock)?))
}

/// For [`crate::client::https_get`]: HTTP/1.1 and no client certificate.
pub fn https_client_config(
    verifier: Arc<dyn ServerCertVerifier>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, Error> {
    https_client_config_as(verifier, None, clock)
}

/// As [`https_client_config`], with a client certificate for servers that ask for one.
pub fn https_client_config_as(
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ClientConfig>, Error> {
    let mut config = client_base(verifier, identity, KeyExchange::Compatible, clock)?;
    config.alpn_protocols = vec![HTTP1.to_vec()];
    Ok(Arc::new(config))
}

fn client_base(
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    key_exchange: KeyExchange,
    clock: Arc<dyn Clock>,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_details(key_exchange.provider(), Arc::new(RustlsClock(clock)))
        .with_protocol_versions(key_exchange.versions())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn_h2();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// gRPC's only application protocol; rustls does not set it by itself.
pub fn alpn_h2() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec()]
}

impl KeyExchange {
    fn provider(self) -> Arc<CryptoProvider> {
        let mut provider = aws_lc_rs::default_provider();
        if self == Self::PostQuantumOnly {
            provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768, aws_lc_rs::kx_group::SECP256R1MLKEM768];
        }
        Arc::new(provider)
    }

    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Compatible => ALL_VERSIONS,
            Self::PostQuantumOnly => TLS13_ONLY,
        }
    }
}

/// rustls asks our clock, so that tests and guarded time reach certificate checks too.
struct RustlsClock(Arc<dyn Clock>);

impl TimeProvider for RustlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.now()))
    }
}

impl fmt::Debug for RustlsClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RustlsClock")
    }
}

/// The protocol of TLS-ALPN-01 (RFC 8737): a handshake, and nothing after it.
pub const ACME_TLS: &[u8] = b"acme-tls/1";
const HTTP1: &[u8] = b"http/1.1";

static ALL_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&TLS13];
