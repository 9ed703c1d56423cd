//! The SPIFFE Workload API: seven RPCs fed from one cache.
//!
//! Codes and texts are SPIRE's (SPIFFE Workload API, sections 4 and 5): clients act on them. A stream never ends with
//! OK or CANCELLED, which several clients take for good.

pub(crate) mod encode;
mod fetched;
mod header;
mod jwt;
mod service;
mod streams;

pub use header::{Gate, WORKLOAD_GATE, check_header, with_security_header};
pub use jwt::JwtSource;
pub use service::{WorkloadApi, WorkloadPolicy};
pub(crate) use streams::{Messages, WithoutIdentity, follow, follow_bundles, no_identity};
