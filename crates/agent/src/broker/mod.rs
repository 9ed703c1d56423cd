//! The SPIFFE Broker API (`experimental { broker {} }`): a broker gets the identities of workloads that it refers to,
//! by pid or in another way that a workload attestor reads.
//!
//! ```text
//!   broker ── mutual TLS ── Gate (header) ── Callers (may it refer so?) ── attestors (whom does it mean?) ── stream
//! ```
//!
//! Codes and texts are SPIRE's. Brokers are named in the configuration by their SPIFFE IDs, which may be of a federated
//! trust domain; nobody else gets through a handshake.

mod callers;
mod encode;
mod listen;
mod service;

pub use listen::{check, serve_brokers};
