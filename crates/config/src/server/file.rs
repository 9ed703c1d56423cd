//! A `server.conf` as it stands in the file: nothing is resolved, defaulted or checked yet.

use super::federation_file::FederationFile;
use super::{AuditFile, ClusterFile};
use crate::common::{HealthFile, LogFile, ProfilingSettings, TelemetryFile};
use crate::oidc::OidcFile;
use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{CaSubject, DecodeError, PluginBlock, Tree};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFile {
    pub admin_ids: Vec<String>,
    pub agent_ttl: Option<String>,
    /// Ours.
    pub audit: Option<AuditFile>,
    pub audit_log_enabled: bool,
    pub bind_address: Option<String>,
    pub bind_port: Option<i64>,
    pub ca_key_type: Option<String>,
    pub ca_subject: Option<CaSubject>,
    pub ca_ttl: Option<String>,
    pub data_dir: Option<String>,
    pub default_x509_svid_ttl: Option<String>,
    pub default_jwt_svid_ttl: Option<String>,
    pub disable_jwt_svids: bool,
    pub experimental: ExperimentalServerFile,
    pub federation: Option<FederationFile>,
    pub jwt_issuer: Option<String>,
    pub jwt_key_type: Option<String>,
    pub log: LogFile,
    pub max_attested_node_info_staleness: Option<String>,
    pub profiling: ProfilingSettings,
    pub proxy_protocol_trusted_cidrs: Vec<String>,
    pub prune_attested_nodes_expired_for: Option<String>,
    pub prune_attested_nodes_batch_size: Option<i64>,
    pub prune_tofu_nodes: bool,
    pub ratelimit_attestation: Option<bool>,
    pub ratelimit_signing: Option<bool>,
    pub socket_path: Option<String>,
    pub trust_domain: Option<String>,
    /// Ours: it stands beside `server`, `plugins` and the others, or within `server`.
    pub cluster: Option<ClusterFile>,
    /// Ours: an OIDC discovery provider within the server. Stands beside `server`.
    pub oidc: Option<OidcFile>,
    /// Ours: `authorization { policy_file = ... }`. Stands beside `server`.
    pub policy_file: Option<String>,
    /// `None` when there is no `plugins` section, which differs from an empty one.
    pub plugins: Option<Vec<PluginBlock>>,
    pub telemetry: TelemetryFile,
    pub health_checks: HealthFile,
}

/// `experimental {}` of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExperimentalServerFile {
    pub agent_spiffe_id_as_selector: bool,
    /// Only whether it is there: the policy engine is refused.
    pub auth_opa_policy_engine: bool,
    pub cache_reload_interval: Option<String>,
    pub full_cache_reload_interval: Option<String>,
    pub events_based_cache: bool,
    pub prune_events_older_than: Option<String>,
    pub event_timeout: Option<String>,
    pub sql_transaction_timeout: Option<String>,
    pub require_pq_kem: bool,
    pub wit_key_type: Option<String>,
    pub wit_issuer: Option<String>,
    pub feature_flags: Vec<String>,
    pub named_pipe_name: Option<String>,
}

impl ServerFile {
    /// Reads a parsed file; what nobody asked for comes back beside it.
    pub fn read(tree: &Tree) -> Result<(Self, Vec<UnknownKeys>), DecodeError> {
        let mut unknown = Vec::new();
        let mut file = Section::new("", tree);
        let mut read = match file.section("server")? {
            Some(server) => Self::read_server(server, &mut unknown)?,
            None => Self::default(),
        };
        if let Some(cluster) = file.section("cluster")? {
            if read.cluster.is_some() {
                return Err(DecodeError::InTwoPlaces { key: "cluster" });
            }
            read.cluster = Some(ClusterFile::read(cluster, &mut unknown)?);
        }
        if let Some(oidc) = file.section("oidc")? {
            read.oidc = Some(OidcFile::read_section(oidc, "oidc", &mut unknown)?);
        }
        if let Some(mut authorization) = file.section("authorization")? {
            read.policy_file = authorization.text("policy_file")?;
            authorization.finish("authorization", &mut unknown);
        }
        if let Some(plugins) = file.tree("plugins")? {
            read.plugins = Some(PluginBlock::read_all(&plugins, &mut unknown)?);
        }
        read.telemetry = TelemetryFile::read(&mut file, &mut unknown)?;
        read.health_checks = HealthFile::read(&mut file, &mut unknown)?;
        file.finish("top-level", &mut unknown);
        Ok((read, unknown))
    }

    fn read_server(mut server: Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let mut read = Self {
            admin_ids: server.texts("admin_ids")?.unwrap_or_default(),
            agent_ttl: server.text("agent_ttl")?,
            audit: server.section("audit")?.map(|audit| AuditFile::read(audit, unknown)).transpose()?,
            audit_log_enabled: server.flag("audit_log_enabled")?.unwrap_or_default(),
            bind_address: server.text("bind_address")?,
            bind_port: server.int("bind_port")?,
            ca_key_type: server.text("ca_key_type")?,
            ca_subject: CaSubject::read(&mut server, unknown)?,
            ca_ttl: server.text("ca_ttl")?,
            data_dir: server.text("data_dir")?,
            default_x509_svid_ttl: server.text("default_x509_svid_ttl")?,
            default_jwt_svid_ttl: server.text("default_jwt_svid_ttl")?,
            disable_jwt_svids: server.flag("disable_jwt_svids")?.unwrap_or_default(),
            experimental: ExperimentalServerFile::read(&mut server, unknown)?,
            federation: FederationFile::read(&mut server, unknown)?,
            jwt_issuer: server.text("jwt_issuer")?,
            jwt_key_type: server.text("jwt_key_type")?,
            log: LogFile::read(&mut server)?,
            max_attested_node_info_staleness: server.text("max_attested_node_info_staleness")?,
            profiling: ProfilingSettings::read(&mut server)?,
            proxy_protocol_trusted_cidrs: server.texts("proxy_protocol_trusted_cidrs")?.unwrap_or_default(),
            prune_attested_nodes_expired_for: server.text("prune_attested_nodes_expired_for")?,
            prune_attested_nodes_batch_size: server.int("prune_attested_nodes_batch_size")?,
            prune_tofu_nodes: server.flag("prune_tofu_nodes")?.unwrap_or_default(),
            socket_path: server.text("socket_path")?,
            trust_domain: server.text("trust_domain")?,
            ..Self::default()
        };
        if let Some(mut ratelimit) = server.section("ratelimit")? {
            read.ratelimit_attestation = ratelimit.flag("attestation")?;
            read.ratelimit_signing = ratelimit.flag("signing")?;
            ratelimit.finish("ratelimit", unknown);
        }
        if let Some(cluster) = server.section("cluster")? {
            read.cluster = Some(ClusterFile::read(cluster, unknown)?);
        }
        server.finish("server", unknown);
        Ok(read)
    }
}

impl ExperimentalServerFile {
    fn read(server: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let Some(mut section) = server.section("experimental")? else {
            return Ok(Self::default());
        };
        let read = Self {
            agent_spiffe_id_as_selector: section.flag("agent_spiffe_id_as_selector")?.unwrap_or_default(),
            auth_opa_policy_engine: section.section("auth_opa_policy_engine")?.is_some(),
            cache_reload_interval: section.text("cache_reload_interval")?,
            full_cache_reload_interval: section.text("full_cache_reload_interval")?,
            events_based_cache: section.flag("events_based_cache")?.unwrap_or_default(),
            prune_events_older_than: section.text("prune_events_older_than")?,
            event_timeout: section.text("event_timeout")?,
            sql_transaction_timeout: section.text("sql_transaction_timeout")?,
            require_pq_kem: section.flag("require_pq_kem")?.unwrap_or_default(),
            wit_key_type: section.text("wit_key_type")?,
            wit_issuer: section.text("wit_issuer")?,
            feature_flags: section.texts("feature_flags")?.unwrap_or_default(),
            named_pipe_name: section.text("named_pipe_name")?,
        };
        section.finish("experimental", unknown);
        Ok(read)
    }
}
