//! The OIDC discovery provider: a trust domain's JWT authorities as an OpenID Connect discovery document and a JSON Web
//! Key Set, for relying parties that know no SPIFFE (cloud identity services, Vault, API gateways).
//!
//! ```text
//!   source (server socket, Workload API, file, or the replica itself) ── poll ──► KeySet
//!                                                                                   │
//!   listener (TCP, Unix socket, TLS) ── handler: domains, proxy headers ── documents ┘
//!                                                         health: how old is the KeySet?
//! ```
//!
//! Speaks as SPIRE's `oidc-discovery-provider` does, whose configuration file it reads.

mod app;
mod document;
mod handler;
mod health;
mod keys;
mod poll;
mod request;
mod route;
mod serve;
mod source;

pub use app::{FLAGS, main, start};
pub use keys::KeySet;
pub use poll::poll;
pub use serve::{ServeError, serve};
pub use source::{KeySource, SourceError};
