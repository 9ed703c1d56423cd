//! Certificates of the web from an ACME server (RFC 8555), with names proved by TLS-ALPN-01 (RFC 8737): the ACME server
//! connects to the name and asks for the protocol `acme-tls/1`, and whoever answers shows a digest in a certificate.
//!
//! ```text
//!   keeper ── renewal (pure: when) ── order (one name, one order) ──► ACME server, over our own TLS
//!      │                                │
//!      └──────────► Store ◄─────────────┘   account key, challenges, certificates: files of one process, or a log that
//!                     │                     is replicated, so that any replica can answer for the one that ordered
//!                     ▼
//!                 WebCertificates           what handshakes show: the certificate of the name, or the challenge
//! ```

mod cache_dir;
mod certificate;
mod challenge;
mod error;
mod http;
mod keeper;
mod order;
mod renewal;
mod shown;
mod store;

pub use cache_dir::{CacheDir, CacheDirError};
pub use certificate::{CertificateError, Obtained};
pub use error::AcmeError;
pub use keeper::{Directory, Keeper};
pub use renewal::{due_at, retry_pause};
pub use shown::WebCertificates;
pub use store::{Store, StoreError, Validity};
