//! `agent.conf`: what SPIRE's agent reads, and our list of several server addresses.

mod bootstrap;
mod broker;
mod experimental;
mod file;
mod resolve;
mod settings;

pub use bootstrap::{BundleFormat, RebootstrapMode, TrustBootstrap};
pub use broker::{BrokerEntry, BrokerFile, BrokerSettings, ReferenceTypeEntry, ReferenceTypes};
pub use experimental::{ExperimentalAgentFile, WorkloadApiRateLimits};
pub use file::{AgentFile, TrustBundleFile};
pub use settings::{AgentOverrides, AgentSettings, SdsSettings};
