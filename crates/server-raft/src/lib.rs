//! The server: SPIRE's API over replicated state.
//!
//! ```text
//!   TCP 8081 ─┐                                     ┌─ state (read)
//!     (audit) ├─ authz ── service ── issue (sign) ──┤
//!   admin UDS ┘             │                       └─ raft (propose) ── storage
//!                           │                            ▲
//!                        driver (CA, prune, own SVID) ───┘         peer ── the other replicas
//! ```
//!
//! `docs/book/one-request.md` follows one request through it.

pub mod acknowledgement;
pub mod app;
mod applied_index;
pub mod assembly;
mod audit;
pub mod authz;
pub mod backup;
mod bundle_publishers;
mod call_log;
pub mod cli;
mod cpu;
mod credential_composers;
pub mod driver;
mod endpoint;
mod entry_watch;
mod federation;
mod first_steps;
mod founding;
mod freshness;
mod http;
pub mod identity;
mod import;
pub mod issue;
pub mod metrics;
mod node_attestors;
pub mod own_replica;
pub mod peer;
pub mod plugin_host;
pub mod raft;
pub mod seal;
pub mod service;
mod signing;
pub mod surroundings;
pub mod upstream_authority;
mod watched;
