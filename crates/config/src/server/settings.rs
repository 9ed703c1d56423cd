//! A server's settings, complete and checked.

use std::path::PathBuf;
use std::time::Duration;

use steeple_core::{KeyType, SpiffeId, TrustDomain};

use super::{AuditSettings, ClusterSettings, FederationSettings, PolicySettings, TtlSettings};
use crate::common::LogFile;
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{
    Cidr, DecodeError, HealthSettings, HostPort, LogSettings, OidcSettings, PluginBlock, ProfilingSettings,
    TelemetrySettings,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Absolute; `None` when the server runs without a file.
    pub config_path: Option<PathBuf>,
    pub trust_domain: TrustDomain,
    /// Absolute, as all paths here are.
    pub data_dir: PathBuf,
    pub bind: HostPort,
    pub socket_path: PathBuf,
    pub admin_ids: Vec<SpiffeId>,
    pub ttl: TtlSettings,
    pub ca: CaSettings,
    /// `None`: no file of audit records.
    pub audit: Option<AuditSettings>,
    pub audit_log_enabled: bool,
    pub disable_jwt_svids: bool,
    pub log: LogSettings,
    /// Zero: what is known about an agent's node is never too old.
    pub max_attested_node_info_staleness: Duration,
    /// `None`: expired agents stay.
    pub prune_attested_nodes: Option<PruneSettings>,
    pub proxy_protocol_trusted_cidrs: Vec<Cidr>,
    pub rate_limit: RateLimitSettings,
    pub federation: FederationSettings,
    pub agent_spiffe_id_as_selector: bool,
    pub require_pq_kem: bool,
    /// `None` unless the feature flag `wit-svid` is set.
    pub wit: Option<WitSettings>,
    pub profiling: ProfilingSettings,
    /// In the order of the file, disabled ones included.
    pub plugins: Vec<PluginBlock>,
    pub telemetry: TelemetrySettings,
    pub health_checks: HealthSettings,
    pub cluster: ClusterSettings,
    /// `None`: no OIDC discovery provider within the server.
    pub oidc: Option<OidcSettings>,
    /// `None`: no caller has limited rights.
    pub policy: Option<PolicySettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaSettings {
    pub key_type: KeyType,
    pub jwt_key_type: KeyType,
    pub subject: CaSubject,
    pub jwt_issuer: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaSubject {
    pub country: Vec<String>,
    pub organization: Vec<String>,
    /// Empty: none.
    pub common_name: String,
}

/// `prune_attested_nodes_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneSettings {
    pub expired_for: Duration,
    pub batch_size: u32,
    /// Also agents that cannot attest again.
    pub tofu_nodes: bool,
}

/// Whether SPIRE's limits for each caller apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitSettings {
    pub attestation: bool,
    pub signing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitSettings {
    pub key_type: KeyType,
    pub issuer: Option<String>,
}

/// What flags said; empty and `None` mean "not given", as in SPIRE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerOverrides {
    pub bind_address: Option<String>,
    /// `-serverPort`.
    pub bind_port: Option<i64>,
    pub data_dir: Option<String>,
    pub log_file: Option<String>,
    pub log_format: Option<String>,
    pub log_level: Option<String>,
    pub log_source_location: bool,
    pub socket_path: Option<String>,
    pub trust_domain: Option<String>,
}

impl ServerSettings {
    /// The enabled plugins of a type, in the order of the file.
    pub fn plugins_of<'s>(&'s self, kind: &'s str) -> impl Iterator<Item = &'s PluginBlock> {
        self.plugins.iter().filter(move |plugin| plugin.enabled && plugin.kind == kind)
    }
}

impl ServerOverrides {
    pub(super) fn log(&self) -> LogFile {
        LogFile {
            level: self.log_level.clone(),
            format: self.log_format.clone(),
            file: self.log_file.clone(),
            source_location: self.log_source_location,
        }
    }
}

impl CaSubject {
    pub(super) fn read(server: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Option<Self>, DecodeError> {
        let Some(mut section) = server.section("ca_subject")? else {
            return Ok(None);
        };
        let subject = Self {
            country: section.texts("country")?.unwrap_or_default(),
            organization: section.texts("organization")?.unwrap_or_default(),
            common_name: section.text("common_name")?.unwrap_or_default(),
        };
        section.finish("ca_subject", unknown);
        Ok(Some(subject))
    }

    /// C=US, O=SPIFFE.
    pub fn spire_default() -> Self {
        Self { country: vec!["US".into()], organization: vec!["SPIFFE".into()], common_name: String::new() }
    }
}

/// SPIRE's default `socket_path`, which every tool looks for.
pub const DEFAULT_SERVER_SOCKET: &str = "/tmp/spire-server/private/api.sock";
