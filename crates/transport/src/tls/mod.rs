//! TLS by SPIFFE rules: roots per trust domain, chain verification as a pure function, rustls adapters around it,
//! and an acceptor whose identity, roots and policy are replaced while it runs.

mod acceptor;
mod cert_files;
mod chain;
mod config;
pub mod danger;
mod farewell;
mod handshake_signature;
mod identity;
mod key_elsewhere;
mod old_client;
mod peer;
mod roots;
mod verifier;
mod verify;
mod web;

pub(crate) use acceptor::pause_after;
pub use acceptor::{Accept, AcceptLimits, HandshakeError, HttpsListener, TlsAcceptor, TlsConnection};
pub use cert_files::{CertFiles, CertFilesError};
pub use chain::ChainVerifier;
pub use config::{
    ACME_TLS, KeyExchange, acme_server_config, alpn_h2, client_config, https_client_config, https_client_config_as,
    https_server_config, https_server_config_for, server_config,
};
pub use handshake_signature::signature_algorithms;
pub use identity::{Identity, IdentityError, IdentitySink, IdentityStore};
pub use peer::{PeerIdError, PeerIdentity, TlsPeer};
pub use roots::{RootsError, SharedRoots, TrustRoots};
pub use verifier::{ClientIdVerifier, IdPolicy, ServerIdVerifier};
pub use verify::{Usage, VerifyError, verify_chain};
pub use web::{WebRootsError, WebVerifier, web_clients};
