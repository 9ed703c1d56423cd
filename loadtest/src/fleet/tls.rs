//! TLS as SPIRE's agents speak it: 1.3, no resumption, one key exchange for all, so that servers do the same work.

use std::sync::Arc;

use clap::ValueEnum;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::version::TLS13;
use steeple_core::TrustDomain;
use steeple_transport::tls::{IdentityStore, ServerIdVerifier, SharedRoots, alpn_h2};

/// Which key exchange agents offer. Peers choose the hybrid where both have it, at about a tenth more work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Group {
    #[default]
    X25519,
    Hybrid,
}

/// `identity` is `None` before attestation.
pub(super) fn client(
    group: Group,
    roots: &SharedRoots,
    trust_domain: &TrustDomain,
    identity: Option<Arc<IdentityStore>>,
) -> anyhow::Result<Arc<ClientConfig>> {
    let mut provider = default_provider();
    provider.kx_groups = match group {
        Group::X25519 => vec![kx_group::X25519],
        Group::Hybrid => vec![kx_group::X25519MLKEM768],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(ServerIdVerifier::new(Arc::clone(roots), trust_domain.server_id()));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn_h2();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
