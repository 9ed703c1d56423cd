//! The agent: attests its node, keeps SVIDs for the workloads on it and serves them over the Workload API.
//!
//! ```text
//!   workload ── Workload API ── attest (who is it?) ── cache (what may it have?) ◀── sync ──┐
//!                                                                                           │ entries, bundles,
//!   identity (attest, renew, re-attest) ── upstream (mTLS to any replica) ◀────────────────┘ signing
//! ```
//!
//! * [`identity`]: the agent's own SVID, from first attestation to renewal and ban.
//! * [`upstream`]: the connection to the servers, one at a time, the next one when it fails.
//! * [`sync`]: what is held, what is wanted, and what to do about it: a pure plan and a thin driver.
//! * [`cache`]: entries, SVIDs and bundles in memory, with views for each workload.
//! * `persist`: the same on disk, sealed, where it is wanted.
//! * `stores`: SVIDs for those who cannot ask for them.
//! * [`attest`]: from a process to selectors.
//! * [`workload_api`], [`sds`], [`delegated_identity`], `broker`, [`admin`], [`http`]: what is served; `reflection`
//!   tells of it.
//! * [`cli`]: commands, the clients of a Workload API and spiffe-helper among them.

pub mod admin;
pub mod app;
pub mod attest;
mod bootstrap;
mod broker;
pub mod cache;
mod call_log;
pub mod cli;
mod data;
pub mod delegated_identity;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod http;
pub mod identity;
pub mod metrics;
mod persist;
mod plugins;
mod rate_limit;
mod reflection;
pub mod sds;
mod shared;
mod sockets;
mod spiffe_helper;
mod stores;
pub mod sync;
pub mod upstream;
pub mod workload_api;
mod workload_client;
