//! An agent's settings, complete and checked.

use std::path::PathBuf;
use std::time::Duration;

use steeple_core::{KeyType, Secret, SpiffeId, TrustDomain};

use super::{BrokerSettings, RebootstrapMode, TrustBootstrap, TrustBundleFile, WorkloadApiRateLimits};
use crate::common::LogFile;
use crate::{HealthSettings, HostPort, LogSettings, PluginBlock, ProfilingSettings, TelemetrySettings};

#[derive(Debug)]
pub struct AgentSettings {
    /// Absolute; `None` when the agent runs without a file.
    pub config_path: Option<PathBuf>,
    pub trust_domain: TrustDomain,
    /// Absolute, as all socket and data paths here are.
    pub data_dir: PathBuf,
    /// At least one; the first is tried first.
    pub servers: Vec<HostPort>,
    /// `None` when both the Workload API and SDS are disabled.
    pub socket_path: Option<PathBuf>,
    pub admin_socket_path: Option<PathBuf>,
    pub disable_workload_api: bool,
    pub disable_sds_api: bool,
    pub bootstrap: TrustBootstrap,
    pub rebootstrap_mode: RebootstrapMode,
    pub rebootstrap_delay: Duration,
    /// From the file, the flag or the token file.
    pub join_token: Option<Secret>,
    pub workload_key_type: KeyType,
    pub availability_target: Option<Duration>,
    /// Entries, bundles and SVIDs survive a restart, sealed on disk under a key derived from the agent's own.
    pub persist_svids: bool,
    /// SVIDs held beyond those in use.
    pub x509_svid_cache_max: usize,
    pub jwt_svid_cache_max: usize,
    pub allow_unauthenticated_verifiers: bool,
    pub allowed_foreign_jwt_claims: Vec<String>,
    pub authorized_delegates: Vec<SpiffeId>,
    /// Selector prefixes to log when no identity was issued.
    pub log_selectors: Vec<String>,
    pub sds: SdsSettings,
    pub log: LogSettings,
    pub sync_interval: Duration,
    pub jwt_svid_cache_hit_timeout: Option<Duration>,
    pub use_sync_authorized_entries: bool,
    pub require_pq_kem: bool,
    /// The SPIFFE Broker API.
    pub broker: Option<BrokerSettings>,
    pub rate_limits: WorkloadApiRateLimits,
    pub profiling: ProfilingSettings,
    /// In the order of the file, disabled ones included.
    pub plugins: Vec<PluginBlock>,
    pub telemetry: TelemetrySettings,
    pub health_checks: HealthSettings,
}

/// `sds {}`: names of the resources that Envoy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SdsSettings {
    pub default_svid_name: String,
    pub default_bundle_name: String,
    pub default_all_bundles_name: String,
    pub disable_spiffe_cert_validation: bool,
}

/// What flags said; empty and `None` mean "not given", as in SPIRE.
#[derive(Debug, Default)]
pub struct AgentOverrides {
    pub allow_unauthenticated_verifiers: bool,
    pub data_dir: Option<String>,
    pub disable_sds_api: bool,
    pub disable_workload_api: bool,
    pub join_token: Option<Secret>,
    pub join_token_file: Option<String>,
    pub log_file: Option<String>,
    pub log_format: Option<String>,
    pub log_level: Option<String>,
    pub log_source_location: bool,
    pub rebootstrap_delay: Option<String>,
    pub rebootstrap_mode: Option<String>,
    pub server_address: Option<String>,
    pub server_port: Option<i64>,
    pub socket_path: Option<String>,
    /// `-trustBundle`, `-trustBundleUrl`, `-trustBundleFormat`, `-insecureBootstrap`.
    pub trust_bundle: TrustBundleFile,
    pub trust_domain: Option<String>,
}

impl Default for SdsSettings {
    fn default() -> Self {
        Self {
            default_svid_name: "default".into(),
            default_bundle_name: "ROOTCA".into(),
            default_all_bundles_name: "ALL".into(),
            disable_spiffe_cert_validation: false,
        }
    }
}

impl AgentSettings {
    /// The enabled plugins of a type, in the order of the file.
    pub fn plugins_of<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = &'s PluginBlock> {
        self.plugins.iter().filter(move |plugin| plugin.enabled && plugin.kind == kind)
    }
}

impl AgentOverrides {
    pub(super) fn log(&self) -> LogFile {
        LogFile {
            level: self.log_level.clone(),
            format: self.log_format.clone(),
            file: self.log_file.clone(),
            source_location: self.log_source_location,
        }
    }
}
