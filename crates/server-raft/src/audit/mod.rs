//! The audit log (`audit_log_enabled`, `audit { }`): a record for each call, and for each item of a batch, with SPIRE's
//! fields.
//!
//! ```text
//!   request ──► layer ──► authorizer ──► service     layer.rs, passing.rs: what was asked and answered passes by
//!                 │                        │
//!                 ◄──── class, messages, status
//!                 └──► facts(method, asked, answered) ──► records      facts/: pure
//!                                                          ├──► the log
//!                                                          └──► trail/: a file of their own, chained (chain/: pure)
//! ```
//!
//! The messages are read beside the services, so that a new handler cannot forget its record. Refused calls are on
//! record too. Secrets are not: tokens are left out, keys and CSRs appear as SHA-256.
//!
//! Under `fail_closed` the layer holds a call's first message until an intent is on disk, and the end of its answer
//! until the outcome is: no handler sees a call that is not on record, and no client an answer.

pub mod chain;
mod facts;
mod layer;
mod passing;
pub mod trail;

pub use layer::AuditLayer;
