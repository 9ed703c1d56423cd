//! One file per gRPC service: parse, (authorized already), act, convert.
//!
//! Handlers hold no rules: entries are judged by `state`, certificates shaped by `ca`, callers let in by `authz`.

mod agent;
mod attest;
mod audience;
mod audit;
mod authority;
mod backup;
mod bundle;
mod clock;
mod cluster;
mod debug;
mod entries;
mod entry;
mod entry_filter;
pub mod failure;
mod health;
mod idempotency;
mod import;
mod local_authority;
mod logger;
mod push;
mod query;
mod seal;
mod shared;
mod signed;
mod svid;
mod sync;
mod trust_domain;
mod wit_svid;

pub use agent::AgentService;
pub use audit::AuditService;
pub use authority::AuthoritiesService;
pub use backup::BackupService;
pub use bundle::BundleService;
pub use cluster::ClusterService;
pub use debug::DebugService;
pub use entries::EntriesService;
pub use entry::EntryService;
pub use health::HealthService;
pub use idempotency::IDEMPOTENCY_KEY;
pub use import::ImportService;
pub use local_authority::LocalAuthorityService;
pub use logger::LoggerService;
pub use push::{PushServer, Subscribers};
pub use seal::SealService;
pub use shared::{Shared, Switches};
pub use svid::SvidService;
pub use trust_domain::TrustDomainService;
