//! Envoy's secret discovery service, version 3: the Envoy view of the cache that also feeds the Workload API.
//!
//! ```text
//!   request ─▶ session (answer it?) ─▶ names (what is meant?) ─▶ resources, validation (how does Envoy want it?)
//!   views   ─▶
//! ```
//!
//! Everything but the service is pure. Names, codes and texts are SPIRE's. Only state of the world is served, no delta.
//! `docs/sds.md` is the page for users.

mod error;
mod names;
mod resources;
mod service;
mod session;
mod validation;

pub use error::SdsError;
pub use names::{Resource, ResourceNames, resolve};
pub use resources::secrets;
pub use service::SecretDiscovery;
pub use session::{Session, Verdict};
pub use validation::Validation;
