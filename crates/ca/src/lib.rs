//! The certificate authority, as pure functions: when an authority is prepared, activated and forgotten, what shape
//! certificates and tokens have, how they are signed, and how private keys are sealed before they enter the log.
//!
//! Nothing here does I/O, knows async or reads a clock: time, serials and random sources are arguments. Only the making
//! of keys and the nonces of signatures draw on the cryptographic library's own random source.
//!
//! ```text
//!   policy ── lifecycle ── forecast           when: plan(now, policy, authorities, acknowledgements) -> one step
//!   acknowledgement/                          who holds the bundle, as far as the replicas have seen it
//!   rotation                                  the same by hand, and away from a compromised authority
//!   distinguished_name ── template ── issue/  what: the certificate profile of SPIRE, the claims of tokens
//!   key ── public_key ── csr                  with which keys, and who holds them
//!   certificate                               what a certificate made elsewhere says
//!   private_jwk                               keys for whoever holds a WIT-SVID
//!   jwt/ ── jwks                              the other end: validate tokens, print and parse bundles
//!   seal/                                     AES-256-GCM envelopes around private keys
//! ```

pub mod acknowledgement;
pub mod certificate;
pub mod csr;
mod der;
mod distinguished_name;
pub mod forecast;
mod issue;
pub mod jwks;
pub mod jwt;
mod key;
pub mod lifecycle;
pub mod policy;
mod private_jwk;
mod public_key;
pub mod rotation;
pub mod seal;
mod serial;
pub mod template;

pub use csr::{Csr, CsrError};
pub use distinguished_name::DistinguishedName;
pub use issue::{
    BACKDATE, CaCertificate, CaIssuer, CaRequest, HolderKey, HolderKeyError, IssueError, JwtIssuer, JwtSvidRequest,
    SignedToken, SvidRequest, WitIssuer, WitSvidRequest, X509Svid, self_signed_ca,
};
pub use key::{KeyError, SigningKey, generate_pkcs8};
pub use private_jwk::private_jwk;
pub use public_key::{PublicKey, PublicKeyError, PublicKeyKind};
pub use serial::{RandomError, Serial, random_bytes, random_key_id};
