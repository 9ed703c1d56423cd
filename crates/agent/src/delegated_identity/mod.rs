//! The Delegated Identity API on the admin socket: a delegate gets the identities of other workloads, named by their
//! selectors or by a pid. Cilium and other node-level proxies use it.
//!
//! ```text
//!   delegate ── attest (who is it?) ── Delegates (may it?) ── views of the workload's selectors ── stream
//! ```
//!
//! Codes and texts are SPIRE's. A delegate is whoever owns an entry with one of the SPIFFE IDs in
//! `authorized_delegates`; that is checked again before every message.

mod delegates;
pub(crate) mod encode;
mod service;

pub use delegates::Delegates;
pub use service::DelegatedIdentity;
