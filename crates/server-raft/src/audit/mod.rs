//! The audit log (`audit_log_enabled`): a record for each call, and for each item of a batch, with SPIRE's fields.
//!
//! ```text
//!   request ──► layer ──► authorizer ──► service     layer.rs, passing.rs: what was asked and answered passes by
//!                 │                        │
//!                 ◄──── class, messages, status
//!                 └──► facts(method, asked, answered) ──► records in the log       facts/: pure
//! ```
//!
//! The messages are read beside the services, so that a new handler cannot forget its record. Refused calls are on
//! record too. Secrets are not: tokens are left out, keys and CSRs appear as SHA-256.

mod facts;
mod layer;
mod passing;

pub use layer::AuditLayer;
